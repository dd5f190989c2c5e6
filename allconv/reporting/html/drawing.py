"""A graph as an SVG drawing: its maps as tensor_boxes to scale, branches in lanes.

Names come from the files of strangers, so all text is escaped here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from html import escape
from itertools import accumulate, groupby, pairwise
from typing import TypeVar

from allconv.reporting.html.layering import Layering, Link, layered
from allconv.reporting.html.tensor_boxes import Item, Scale, px, slab_of
from allconv.reporting.text_table import printable

Key = TypeVar("Key", bound=Hashable)

GAP = 18
"""Pixels between columns, in which links change lanes."""

HEAD, FOOT, MARGIN = 30, 16, 12


def drawing(items: Sequence[Item], scale: Scale, name: str, prefix: str) -> str:
    """Draw the SVG element of a graph.

    Args:
        items: Its nodes, each after those it takes.
        scale: Of the tensor_boxes.
        name: What the drawing is called for those who do not see it.
        prefix: Of the `id` of the first node of each row, `"b"` for `b1`, `b2`, ...
    """
    return _Drawing(items, scale).svg(name, prefix)


class _Drawing:
    """The places of tensor_boxes, columns and lanes in pixels."""

    def __init__(self, items: Sequence[Item], scale: Scale) -> None:
        self.items = items
        self.tensor_boxes = [slab_of(item, scale) for item in items]
        number = {item.node: index for index, item in enumerate(items)}
        self.layering: Layering = layered([[number[n] for n in item.node.inputs] for item in items])
        widths = _largest(self.layering.columns, [box.box[0] for box in self.tensor_boxes])
        self.widths = [max(widths[column], 14) for column in range(len(widths))]
        self.lefts = [MARGIN, *(MARGIN + x for x in accumulate(w + GAP for w in self.widths))]
        self.words = self._words()
        self.middles, self.height = self._lanes()

    def _words(self) -> list[str]:
        """Write the size of the largest map of each column."""
        largest: dict[int, Item] = {}
        for item, column in zip(self.items, self.layering.columns, strict=True):
            if column not in largest or item.cells > largest[column].cells:
                largest[column] = item
        return [_sizes_words(largest[column]) for column in range(len(self.widths))]

    def _lanes(self) -> tuple[dict[tuple[int, int], float], float]:
        """Find the middle of each lane in each column, and the height of the drawing.

        Columns of one map size, up to the next where all branches have met, make a stretch, whose
        lanes are as high as it needs. Lane 0 is straight.
        """
        tall = self._heights()
        crowded = {column for lane, column in tall if lane}
        meets = accumulate(column not in crowded for column in range(len(self.words)))
        stretches = list(zip(self.words, meets, strict=True))
        places = [(stretches[column], lane, column) for lane, column in tall]
        heights = _largest([key[:2] for key in places], list(tall.values()))
        middles = {}
        for stretch, cells in groupby(sorted(heights), lambda key: key[0]):
            lanes = [lane for _, lane in cells]
            ends = list(accumulate((heights[stretch, lane] for lane in lanes), initial=0.0))
            halves = [(top + end) / 2 for top, end in pairwise(ends)]
            zero = halves[lanes.index(0)] if 0 in lanes else 0.0
            middles.update(
                {(stretch, lane): y - zero for lane, y in zip(lanes, halves, strict=True)}
            )
        top = HEAD - min(y - heights[key] / 2 for key, y in middles.items())
        bottom = max(y + heights[key] / 2 for key, y in middles.items())
        return {
            (lane, column): top + middles[stretch, lane] for stretch, lane, column in places
        }, top + bottom + MARGIN

    def _heights(self) -> dict[tuple[int, int], float]:
        """Say how high each lane has to be in each column that it has a node or a link in."""
        columns, lanes = self.layering.columns, self.layering.lanes
        tall = {
            (link.lane, column): 12.0
            for link in self.layering.links
            for column in range(columns[link.source] + 1, columns[link.target])
        }
        for place, box in zip(zip(lanes, columns, strict=True), self.tensor_boxes, strict=True):
            tall[place] = box.box[1] + FOOT + 12
        return tall

    def svg(self, name: str, prefix: str) -> str:
        width, height = round(self.lefts[-1] - GAP + MARGIN), round(self.height)
        body = [*self._bands(), self._links(), *self._nodes(prefix)]
        return (
            f'<svg class="net" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
            f'role="group" aria-label="{escaped(name)}">\n' + "\n".join(body) + "\n</svg>"
        )

    def _bands(self) -> Iterator[str]:
        """Draw stripes behind columns of one map size, with the size above them."""
        words = self.words
        for index, (text, columns) in enumerate(groupby(range(len(words)), words.__getitem__)):
            first, *rest = columns
            left = self.lefts[first] - GAP / 2
            width = self.lefts[(rest or [first])[-1] + 1] - GAP / 2 - left
            if index % 2 == 0:
                yield _rect(left, 0, width, self.height)
            if width > 6.2 * len(text):
                yield f'<text class="size" x="{px(left + width / 2)}" y="16">{text}</text>'

    def _links(self) -> str:
        """Return all links in one path."""
        return f'<path class="links" d="{"".join(map(self._link, self.layering.links))}"/>'

    def _link(self, link: Link) -> str:
        columns, lanes = self.layering.columns, self.layering.lanes
        start, end = columns[link.source], columns[link.target]
        between = [(link.lane, column) for column in range(start + 1, end)]
        steps = [(lanes[link.source], start), *between, (lanes[link.target], end)]
        x = self._left(link.source) + self.tensor_boxes[link.source].box[0]
        path = [f"M{px(x)} {px(self.middles[steps[0]])}"]
        for step, following in pairwise(steps):
            path.append(self._across(step[1], self.middles[step], self.middles[following]))
        return f"{''.join(path)}H{px(self._left(link.target))}"

    def _across(self, column: int, y0: float, y1: float) -> str:
        """Lead from a height at the right end of a column to one at the left end of the next."""
        if abs(y0 - y1) < 0.1:
            return ""
        left = self.lefts[column] + self.widths[column]
        middle, right = left + GAP / 2, left + GAP
        curve = f"C{px(middle)} {px(y0)} {px(middle)} {px(y1)} {px(right)} {px(y1)}"
        return f"H{px(left)}{curve}"

    def _left(self, index: int) -> float:
        column = self.layering.columns[index]
        return self.lefts[column] + (self.widths[column] - self.tensor_boxes[index].box[0]) / 2

    def _middle(self, index: int) -> float:
        return self.middles[self.layering.lanes[index], self.layering.columns[index]]

    def _nodes(self, prefix: str) -> Iterator[str]:
        seen: set[int] = set()
        for index, item in enumerate(self.items):
            anchor = f' id="{prefix}{item.row}"' if item.row not in seen else ""
            seen.add(item.row)
            box, x = self.tensor_boxes[index], self._left(index)
            y = self._middle(index) - box.box[1] / 2
            free = " free" if None in item.edges else ""
            yield (
                f'<a{anchor} class="node {item.look}{free}" href="#r{item.row}">'
                f"<title>{escaped(item.title)}</title>{box.faces(x, y)}"
                f"{_mark(item.look, x + box.box[0] / 2, y - 4)}"
                f'<text x="{px(x + box.thickness / 2)}" y="{px(y + box.box[1] + 11)}">'
                f"{item.row}</text></a>"
            )


def _mark(look: str, x: float, y: float) -> str:
    """Draw a sign above a box: a triangle where it changes, a cross where it stands in the way."""
    if "blocks" in look:
        return f'<path class="mark" d="M{px(x - 4)} {px(y - 8)}l8 8m0-8l-8 8"/>'
    if "changed" in look:
        return f'<path class="mark" d="M{px(x - 5)} {px(y - 8)}h10l-5 8z"/>'
    return ""


def escaped(words: str) -> str:
    """Escape a stranger's words to HTML that is text and nothing else, in attributes too."""
    return escape(printable(words))


def _sizes_words(item: Item) -> str:
    if item.shape is None:
        return "--"
    return "×".join("?" if size is None else str(size) for size in item.sizes) or "vector"


def _largest(keys: Iterable[Key], values: Iterable[float]) -> dict[Key, float]:
    """Find the largest value of each key."""
    largest: dict[Key, float] = {}
    for key, value in zip(keys, values, strict=True):
        largest[key] = max(value, largest.get(key, 0))
    return largest


def _rect(x: float, y: float, width: float, height: float) -> str:
    corner = f'x="{px(x)}" y="{px(y)}"'
    return f'<rect class="band" {corner} width="{px(width)}" height="{px(height)}"/>'
