"""The drawing of a network as a PNG or PDF file: the shapes of the SVG, painted by matplotlib.

Not by a converter of SVG: the usual ones need libraries of C that pip does not bring, and the
drawings have five kinds of elements and eight commands of paths.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.etree.ElementTree import Element

from allconv.errors import OptionError, lacking
from allconv.reporting.facts import Facts
from allconv.reporting.svg import drawn

DOTS = 2.0
"""Of the file for each pixel of the drawing, where it is not too long for that."""
LONGEST = 20_000
POINTS = 0.72
"""Of 1/72 inch for each pixel: the drawing has 100 to the inch."""

HATCHES = {"stripes": "////", "crosses": "xxxx"}
"""What stands for the patterns of the SVG, by their names."""

Place = tuple[float, float]
Patterns = Mapping[str, Element]


def as_png(report: Facts) -> bytes:
    """Draw the network before and after as a PNG file.

    Raises:
        OptionError: matplotlib cannot be imported, or the network is too large to draw.
    """
    figure, file = _painted(report), io.BytesIO()
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    with _letters_may_be_missing():
        canvas.print_png(file)
    return file.getvalue()


def as_pdf(report: Facts) -> bytes:
    """Draw the same as a PDF file, of shapes and letters; what it raises is as of `as_png`."""
    figure, file = _painted(report), io.BytesIO()
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    canvas: Any = FigureCanvasPdf(figure)
    with _letters_may_be_missing():
        # with the date, the same report would give other bytes each time
        canvas.print_pdf(file, metadata={"CreationDate": None})
    return file.getvalue()


def _painted(report: Facts) -> Any:
    """Paint the drawing on a figure of matplotlib."""
    picture = drawn(report)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OptionError(
            f"{lacking('matplotlib', error)}, and to_svg() needs no package"
        ) from error
    width, height = (float(picture.attrib[side]) for side in ("width", "height"))
    dots = min(DOTS, LONGEST / max(width, height))
    figure = Figure(figsize=(width / 100, height / 100), dpi=100 * dots)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    patterns = {each.attrib["id"]: each for each in picture.iter("pattern")}
    for element, place in _elements(picture):
        _paint(axes, element, place, patterns)
    return figure


@contextmanager
def _letters_may_be_missing() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that matplotlib's font does not have
        yield


def _elements(group: Element, place: Place = (0, 0)) -> Iterator[tuple[Element, Place]]:
    """List the elements that are painted, in order, each with how far its group is moved."""
    for element in group:
        if element.tag == "g":
            moved = re.findall(r"[\d.]+", element.attrib.get("transform", "")) or ("0", "0")
            yield from _elements(element, (place[0] + float(moved[0]), place[1] + float(moved[1])))
        elif element.tag != "defs":
            yield element, place


def _paint(axes: Any, element: Element, place: Place, patterns: Patterns) -> None:
    given = element.attrib
    if element.tag == "text":
        x, y = float(given["x"]) + place[0], float(given["y"]) + place[1]
        axes.text(
            *(x, y, element.text),
            color=given["fill"],
            fontsize=float(given["font-size"]) * POINTS,
            fontweight=given.get("font-weight", "normal"),
            ha={"middle": "center", "start": "left"}[given["text-anchor"]],
            va="baseline",
            parse_math=False,  # a dollar in a name is a dollar
        )
    elif element.tag == "rect":
        sides = {name: float(given[name]) for name in ("x", "y", "width", "height")}
        corners = "M{x} {y}h{width}v{height}h-{width}z".format_map(sides)
        _paint_path(axes, corners, element, place, patterns)
    elif element.tag == "path":
        _paint_path(axes, given["d"], element, place, patterns)


def _paint_path(
    axes: Any, commands: str, element: Element, place: Place, patterns: Patterns
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    given = element.attrib
    codes, points = zip(*_steps(commands), strict=True)
    moved = [(x + place[0], y + place[1]) for x, y in points]
    dashes = [float(each) * POINTS for each in given.get("stroke-dasharray", "").split()]
    width = float(given.get("stroke-width", 0)) * POINTS
    path, fill = Path(moved, codes), given["fill"]
    if fill.startswith("url(#"):
        ground, line = patterns[name := fill[5:-1]]
        strong = line.attrib.get("stroke") or line.attrib["fill"]
        # hatches have the colour of the edge, so the edge itself is painted over it
        hatched = PathPatch(path, edgecolor=strong, linewidth=0, hatch=HATCHES[name])
        hatched.set_facecolor(ground.attrib["fill"])
        axes.add_patch(hatched)
        fill = "none"
    edge = PathPatch(path, facecolor=fill, edgecolor=given.get("stroke", "none"), linewidth=width)
    if dashes:
        edge.set_linestyle((0, [each / width for each in dashes]))
    axes.add_patch(edge)


def _steps(commands: str) -> Iterator[tuple[int, Place]]:
    """Write a path in matplotlib's codes (1 move, 2 line, 4 curve, 79 close), absolute."""
    x = y = 0.0
    start = (x, y)
    for command, words in re.findall(r"([A-Za-z])([^A-Za-z]*)", commands):
        numbers = [float(word) for word in re.findall(r"-?[\d.]+", words)]
        if command == "C":
            places = list(zip(numbers[::2], numbers[1::2], strict=True))
            x, y = places[-1]
            yield from ((4, place) for place in places)
            continue
        if command in "zZ":
            x, y = start
            yield 79, start
            continue
        x, y = _moved(command, numbers, x, y)
        start = (x, y) if command in "mM" else start
        yield (1 if command in "mM" else 2), (x, y)


def _moved(command: str, numbers: list[float], x: float, y: float) -> Place:
    """Find where a command leads from a place; small letters count from there."""
    from_x, from_y = (x, y) if command.islower() else (0.0, 0.0)
    if command in "hH":
        return from_x + numbers[0], y
    if command in "vV":
        return x, from_y + numbers[0]
    return from_x + numbers[0], from_y + numbers[1]
