"""The drawing of a network as a picture of its own, which needs no page and no style sheet.

The page's drawings are taken apart, and every element gets as attributes what the page's style says
of its class. So the picture looks alike in papers, slides and viewers, on a ground of its own.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from functools import cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from allconv.errors import OptionError
from allconv.reporting.facts import Facts
from allconv.reporting.html.drawing import drawing
from allconv.reporting.html.network_drawings import LEGEND, MOST_NODES, MOST_PASSED, sides
from allconv.reporting.html.page import part
from allconv.reporting.html.tensor_boxes import Item, Scale, px
from allconv.reporting.rows import Row
from allconv.reporting.text_table import count_words, elide, printable
from allconv.reporting.words import class_words, title

MARGIN, LINE, SAMPLE = 16, 24, 12
NARROWEST, MOST_LETTERS = 480, 100
LINE_OF_KEY, MOST_NAMED, MOST_OF_A_NAME = 16, 300, 40
LETTER = 6.4
"""Pixels of a letter of the legend, which is set before anybody knows the font."""

FONT = "Helvetica, Arial, sans-serif"
FACES = {"m": "", "t": "-light", "f": "-dark"}
"""The page's colour of each face of a box: its map, its top and its front."""

Attributes = Mapping[str, str]


def as_svg(report: Facts) -> str:
    """Draw the network before and after as an SVG file, complete in itself."""
    picture = drawn(report)
    ElementTree.indent(picture, "")
    text = ElementTree.tostring(picture, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def drawn(report: Facts) -> Element:
    """Make the picture as a tree of elements.

    Raises:
        OptionError: The network is larger than anybody could look at.
    """
    found = sides(report)
    if found is None:
        raise OptionError(
            f"model '{report.plan.before.name}' is too large to draw: drawings are made of up to "
            f"{MOST_NODES:,} layers, whose links pass up to {MOST_PASSED:,} columns"
        )
    scale = Scale.of(item for items in found.values() for item in items)
    root = Element("svg", xmlns="http://www.w3.org/2000/svg")
    SubElement(root, "title").text = printable(title(report))
    root.append(_patterns())
    ground = SubElement(root, "rect", x="0", y="0", fill=_colours()["paper"])
    head = elide(printable(title(report)), MOST_LETTERS)
    _write(root, MARGIN, MARGIN + 10, head, size=15, weight="bold")
    width, y = max(NARROWEST, 2 * MARGIN + 9 * len(head)), MARGIN + 2 * LINE
    for when, items in found.items():
        layers = "layer" if len(items) == 1 else "layers"
        _write(root, MARGIN, y, f"{when.title()}: {count_words(len(items))} {layers}", size=12)
        net = ElementTree.fromstring(drawing(items, scale, when, when[0]))
        group = SubElement(root, "g", transform=f"translate({MARGIN} {y + 8})")
        group.extend(map(_styled, net))
        width = max(width, 2 * MARGIN + int(net.attrib["width"]))
        y += int(net.attrib["height"]) + 2 * LINE
    y = _legend(root, width, y, _looks(found)) + LINE
    y = _key(root, width, y, report.rows) + MARGIN
    ground.attrib.update(width=str(width), height=str(y))
    root.attrib.update(width=str(width), height=str(y), viewBox=f"0 0 {width} {y}")
    return root


def _styled(element: Element, looks: frozenset[str] = frozenset()) -> Element:
    """Copy an element and those in it, each with attributes in the place of its class."""
    own = frozenset(element.attrib.get("class", "").split())
    kept = {k: v for k, v in element.attrib.items() if k not in ("class", "href", "id")}
    tag = "g" if element.tag == "a" else element.tag
    styled = Element(tag, {**kept, **(_style(tag, own, looks | own))})
    styled.text = element.text
    styled.extend(_styled(each, looks | own) for each in element)
    return styled


def _style(tag: str, own: frozenset[str], looks: frozenset[str]) -> dict[str, str]:
    """Find what the page's style says of an element of these classes, inside of those."""
    colours = _colours()
    if tag == "text":
        return _letters(11 if "size" in own else 9.5, "middle")
    if "band" in own:
        return {"fill": colours["band"]}
    if "links" in own:
        return {"fill": "none", "stroke": colours["wire"], "stroke-width": "1.3"}
    if "mark" in own:
        return _mark(looks)
    face = next((name for name in FACES if name in own), None)
    return _face(face, looks) if face else {}


def _mark(looks: frozenset[str]) -> dict[str, str]:
    if "blocks" in looks:
        dark = _colours()["blocks-dark"]
        return {"fill": "none", "stroke": dark, "stroke-width": "2.4"}
    return {"fill": _colours()["changed-dark"]}


def _face(face: str, looks: frozenset[str]) -> dict[str, str]:
    """Draw one of the three faces of a box."""
    colours = _colours()
    group = next(name for name in ("conv", "pool", "dense", "cell") if name in looks)
    style = {"fill": colours[group + FACES[face]], "stroke": colours["edge"], "stroke-width": "0.6"}
    for look, pattern in (("changed", "stripes"), ("blocks", "crosses")):
        if look in looks:
            style["stroke"] = colours[f"{look}-dark"]
            style["fill"] = f"url(#{pattern})" if face == "m" else style["fill"]
    if "free" in looks and face == "m":
        dashes = {"stroke-dasharray": "3 2.5", "stroke-width": "1.2"}
        style.update(stroke=colours["ink"], **dashes)
    return {**style, "stroke-linejoin": "round"}


def _patterns() -> Element:
    """Define the stripes of what changes, and the crosses of what stands in the way."""
    colours, defs = _colours(), Element("defs")
    for name, light, size in (("stripes", "changed", 5), ("crosses", "blocks", 6)):
        side = str(size)
        turned = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
        pattern = SubElement(defs, "pattern", {**turned, "id": name, "width": side, "height": side})
        SubElement(pattern, "rect", width=side, height=side, fill=colours[f"{light}-light"])
        if name == "stripes":
            SubElement(pattern, "rect", width="1.8", height=side, fill=colours["changed"])
        else:
            line = {"d": "M0 3h6M3 0v6", "stroke": colours["blocks-dark"], "stroke-width": "1.6"}
            SubElement(pattern, "path", line)
    return defs


def _looks(found: Mapping[str, Sequence[Item]]) -> set[str]:
    """Collect the looks that boxes of the drawings have."""
    items = [item for side in found.values() for item in side]
    free = {"free"} if any(None in item.edges for item in items) else set()
    return free.union(*(item.look.split() for item in items))


def _legend(root: Element, width: int, y: int, looks_found: Container[str]) -> int:
    """Explain the looks that occur in lines below the drawings; return where these end."""
    x = MARGIN
    for look, words in LEGEND.items():
        if look not in looks_found:
            continue
        wide = round(SAMPLE + 8 + LETTER * len(words) + 18)
        if x + wide > width - MARGIN and x > MARGIN:
            x, y = MARGIN, y + LINE
        looks = frozenset({look} if look in ("conv", "pool", "dense", "cell") else {"cell", look})
        style = _face("m", looks)
        if look == "free":
            style["fill"] = "none"
        style["d"] = f"M{x} {y - 10}h{SAMPLE}v{SAMPLE}h-{SAMPLE}z"
        SubElement(root, "path", style)
        _write(root, x + SAMPLE + 8, y, words, size=11)
        x += wide
    return y


def _key(root: Element, width: int, y: int, rows: Sequence[Row]) -> int:
    """Say which layer each number is, in columns; return where these end."""
    words = [f"{row.position} {_named(row)}" for row in rows[:MOST_NAMED]]
    if len(rows) > MOST_NAMED:
        words.append(f"and {count_words(len(rows) - MOST_NAMED)} more")
    wide = LETTER * max(map(len, words)) + MARGIN
    columns = max(1, int((width - 2 * MARGIN) // wide))
    high = -(-len(words) // columns)
    for number, each in enumerate(words):
        column, line = divmod(number, high)
        _write(root, MARGIN + column * wide, y + line * LINE_OF_KEY, each, size=11)
    return y + (high - 1) * LINE_OF_KEY


def _named(row: Row) -> str:
    name, kind = (elide(printable(each), MOST_OF_A_NAME) for each in (row.layer, class_words(row)))
    return f"{name}: {kind}"


def _write(root: Element, x: float, y: float, words: str, size: float, weight: str = "") -> None:
    style = _letters(size, "start") | ({"font-weight": weight} if weight else {})
    SubElement(root, "text", {**style, "x": px(x), "y": px(y)}).text = words


def _letters(size: float, anchor: str) -> dict[str, str]:
    colour = _colours()["ink" if anchor == "start" else "soft"]
    letters = {"font-family": FONT, "font-size": f"{size:g}", "text-anchor": anchor}
    return {"fill": colour, **letters}


@cache
def _colours() -> Mapping[str, str]:
    """Read the page's colours on white paper, by name."""
    first = part("page.css").partition("}")[0]
    return dict(re.findall(r"--([\w-]+): (#\w+)", first))
