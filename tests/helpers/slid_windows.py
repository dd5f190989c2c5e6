"""Oracles for the arithmetic of one axis: windows that are really slid, cells really counted.

An axis is the list of the numbers of its cells. Padding is numbered on to both sides: below 0, and
from the size upwards.
"""

from __future__ import annotations

from itertools import count


def axis(size, before=0, after=0):
    """The cells of a padded axis, or with negative numbers of a cropped one."""
    return list(range(-before, size + after))


def slide(cells, window, stride=1, dilation=1):
    """The cells under every window that lies on the axis with all of its cells."""
    offsets = [dilation * step for step in range(window)]
    places = ([start + offset for offset in offsets] for start in range(0, len(cells), stride))
    return [[cells[place] for place in under] for under in places if under[-1] < len(cells)]


def left_over(cells, slid):
    """How many cells behind the last window no window reaches."""
    return len(cells) - 1 - cells.index(slid[-1][-1])


def stretched(size, stride):
    """The axis with stride - 1 cells between one of its cells and the next."""
    return axis(max(cell * stride for cell in range(size)) + 1)


def sizes_that_give(size, window, stride, padding, dilation=1):
    """All sizes that a convolution makes this size, found by trying one after the other.

    `padding(size)` is `(before, after)`. Larger sizes never give smaller results, so the search
    ends.
    """
    found = []
    for tried in count(1):
        slid = slide(axis(tried, *padding(tried)), window, stride, dilation)
        if len(slid) > size:
            return found
        if len(slid) == size:
            found.append(tried)
