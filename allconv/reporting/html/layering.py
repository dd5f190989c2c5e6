"""Places for the nodes of a drawing: columns in the order of the data, lanes for branches.

A node's column is the length of the longest path to it. Lane 0 runs through the middle. A node
stays in the lane of the node before it where that is free, and so does a link that passes several
columns; else they take the nearest lane that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True)
class Link:
    """A line from one node to another, which runs in `lane` where it passes columns between."""

    source: int
    target: int
    lane: int


@dataclass(frozen=True)
class Layering:
    """Where the nodes of a drawing go.

    Attributes:
        columns: Of each node.
        lanes: Of each node; negative ones lie above the middle.
        links: One for each input of each node.
    """

    columns: tuple[int, ...]
    lanes: tuple[int, ...]
    links: tuple[Link, ...]


def layered(inputs: Sequence[Sequence[int]]) -> Layering:
    """Give every node a place of its own, and every link a lane that crosses no node.

    Args:
        inputs: For each node the numbers of the nodes that it takes, all smaller than its own.

    Example:
        >>> layered([[], [0], [0], [1, 2]]).lanes
        (0, 0, 1, 0)
    """
    columns = columns_of(inputs)
    lanes: list[int] = []
    links: list[Link] = []
    taken: dict[tuple[int, int], int] = {}
    for node, sources in enumerate(inputs):
        column = columns[node]
        home = min((lanes[source] for source in sources), key=abs, default=0)
        lane = next(lane for lane in _outwards(home) if (lane, column) not in taken)
        taken[lane, column] = node
        lanes.append(lane)
        for source in dict.fromkeys(sources):
            between = range(columns[source] + 1, column)
            free = (
                passed
                for passed in _outwards(lanes[source])
                if all(taken.get((passed, at), source) == source for at in between)
            )
            passed = next(free)
            taken.update({(passed, at): source for at in between})
            links.append(Link(source, node, passed))
    return Layering(tuple(columns), tuple(lanes), tuple(links))


def columns_of(inputs: Sequence[Sequence[int]]) -> list[int]:
    """Find the column of each node: the length of the longest path to it."""
    columns: list[int] = []
    for sources in inputs:
        columns.append(1 + max((columns[source] for source in sources), default=-1))
    return columns


def _outwards(lane: int) -> Iterator[int]:
    """Yield all lanes, from one on: the nearest first, of two as near the one below."""
    yield lane
    for step in count(1):
        yield lane + step
        yield lane - step
