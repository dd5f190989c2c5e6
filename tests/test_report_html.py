"""The page of a report: complete in itself, safe to open, and right in its numbers.

What needs a browser is in tests/test_report_in_browser.py.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from html.parser import HTMLParser

import keras
import pytest
from keras import layers

import allconv
from allconv.graph import Graph, Spec
from allconv.report import Report
from allconv.reporting.html import network_drawings
from allconv.reporting.html.drawing import drawing
from allconv.reporting.html.tensor_boxes import Item, Scale, slab_of
from allconv.reporting.text_table import count_words
from tests.helpers import networks
from tests.helpers.plain_graphs import conv, graph, image, relu

VOID = {"meta", "input", "br", "wbr", "hr", "img", "link", "base"}
ENDLESS = {"path", "rect"}
"""Elements of SVG that are closed as they are opened; the parser reports both ends."""


@dataclass
class Element:
    """An element of a page, with all text below it."""

    tag: str
    attributes: dict[str, str]
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def looks(self) -> set[str]:
        return set(self.attributes.get("class", "").split())


class Page(HTMLParser):
    """A page as its elements, in order; an error where they are not properly nested."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes), f"an attribute of {tag} stands twice"
        element = Element(tag, {name: value or "" for name, value in attributes})
        self.elements.append(element)
        if tag not in VOID | ENDLESS:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in ENDLESS
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.words.append(data)

    def all(self, tag: str, look: str = "") -> list[Element]:
        return [e for e in self.elements if e.tag == tag and (not look or look in e.looks)]

    def rows(self) -> list[list[str]]:
        """The texts of the table's cells, row by row, the head first and the total last."""
        rows: list[list[str]] = []
        for element in self.elements:
            if element.tag == "tr":
                rows.append([])
            elif element.tag in ("th", "td"):
                rows[-1].append(element.text)
        return rows


def page_of(network: Callable[[], keras.Model], **options: object) -> Page:
    return Page(allconv.report(network(), **options).to_html())


@cache
def mnist_page() -> Page:
    return page_of(networks.mnist_cnn)


PAGES = {
    "mnist": (networks.mnist_cnn, {}),
    "mnist conv": (networks.mnist_cnn, {"pooling": "conv", "head": "classifier"}),
    "mnist any": (networks.mnist_cnn, {"input_size": "any"}),
    "stubborn": (networks.stubborn, {}),
    "twins": (networks.twins, {}),
    "of any size": (networks.of_any_size, {}),
    "signals": (networks.on_signals, {}),
    "residual": (networks.residual, {}),
}
each_page = pytest.mark.parametrize("name", PAGES)


def page_named(name: str) -> Page:
    network, options = PAGES[name]
    return page_of(network, **options)


# complete in itself


@each_page
def test_a_page_asks_for_nothing_from_anywhere(name: str) -> None:
    page = page_named(name)
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    for element in page.elements:
        assert element.tag not in {"link", "img", "iframe", "object", "embed", "base", "image"}
        assert not {"src", "srcset", "action", "xlink:href", "style"} & set(element.attributes)
        if "href" in element.attributes:
            assert element.attributes["href"].removeprefix("#") in ids
        for attribute in element.attributes:
            assert not attribute.startswith("on"), "code in an attribute"
    assert "://" not in page.source, "an address"
    assert "@import" not in page.source
    assert set(re.findall(r"url\(([^)]*)\)", page.source)) <= {"#stripes", "#crosses"}


def test_the_policy_allows_the_pages_own_style_and_script_by_hash_and_nothing_else() -> None:
    page = mnist_page()
    meta = next(e for e in page.all("meta") if "http-equiv" in e.attributes)
    assert meta.attributes["http-equiv"] == "Content-Security-Policy"
    hashes = {}
    for tag in ("style", "script"):
        (element,) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        hashes[f"{tag}-src"] = f"'sha256-{digest}'"
    assert dict(part.split(" ", 1) for part in meta.attributes["content"].split("; ")) == {
        "default-src": "'none'",
        **hashes,
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_policy_stands_before_all_that_it_holds_for() -> None:
    tags = [e.tag for e in mnist_page().elements]
    assert tags[:4] == ["html", "head", "meta", "meta"]
    assert "http-equiv" in mnist_page().elements[3].attributes


# names of strangers

HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '"><svg onload=alert(1)>',
    "</title></style><script>alert(1)</script>",
    "<!-- $script ${style} $$ &lt;b&gt; -->",
    "a\x00b\x1b[2J\u202eright to left\ud800",
)


def network_with(names: tuple[str, ...]) -> Graph:
    """A chain of convolutions and a layer that is not known, of these names."""
    node = entry = image(names[0])
    for name in names:
        node = conv(f"conv {name}")(node)
        node = Spec("MaxPooling2D", f"pool {name}", POOL)(node)
    node = Spec(f"{names[0]}>Layer", f"own {names[0]}", {})(node)
    return replace(graph([entry], [node]), name=names[0])


POOL = {"pool_size": (1, 1), "strides": (1, 1), "padding": "valid", "data_format": "channels_last"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(name: str) -> None:
    hostile = Page(allconv.report(network_with((name,))).to_html())
    harmless = Page(allconv.report(network_with(("name",))).to_html())
    assert [e.tag for e in hostile.elements] == [e.tag for e in harmless.elements]
    for ours, theirs in zip(harmless.elements, hostile.elements, strict=True):
        assert set(ours.attributes) == set(theirs.attributes)
    shown = name.replace("\x00", "\\x00").replace("\x1b", "\\x1b")
    shown = shown.replace("\u202e", "\\u202e").replace("\ud800", "\\ud800")
    layers_shown = [cells[1] for cells in hostile.rows()[1:-1]]
    assert layers_shown == [shown, f"conv {shown}", f"pool {shown}", f"own {shown}"]
    assert hostile.all("h1")[0].text == shown
    assert any(e.text.startswith(f"conv {shown}: Conv2D") for e in hostile.all("title"))
    hostile.source.encode()  # no half of a surrogate pair is left, so it can be written


# the numbers


@each_page
def test_the_table_has_a_row_for_each_layer_and_its_columns_add_up(name: str) -> None:
    head, *rows, total = page_named(name).rows()
    assert {len(cells) for cells in rows} == {len(head)} == {len(total)}
    assert [cells[0] for cells in rows] == [str(number) for number in range(1, len(rows) + 1)]
    for column in range(head.index("parameters"), head.index("MACs after") + 1):
        cells = [row[column] for row in rows]
        if total[column] == "--":
            assert "--" in cells
        else:
            numbers = [int(cell.replace(",", "")) for cell in cells]
            assert sum(numbers) == int(total[column].replace(",", ""))


def test_the_totals_are_those_of_the_report_and_the_bars_have_their_ratio() -> None:
    report = allconv.report(networks.cifar10_cnn(), pooling="conv", head="classifier")
    page = Page(report.to_html())
    amounts = report.to_dict()["totals"].values()
    counts = [e.text for e in page.all("span", "count")]
    assert counts == [count_words(a[when]) for a in amounts for when in ("before", "after")]
    widths = [float(e.attributes["width"].rstrip("%")) for e in page.all("rect", "part")]
    for before, after, amount in zip(widths[::2], widths[1::2], amounts, strict=True):
        assert max(before, after) == 100
        assert after / before == pytest.approx(amount["ratio"], rel=1e-3)


def test_an_unknown_amount_has_no_bar() -> None:
    page = page_named("stubborn")
    assert [e.text for e in page.all("span", "count")][2:4] == ["--", "--"]
    assert [e.attributes["width"] for e in page.all("rect", "part")][2:4] == ["0.00%", "0.00%"]


@each_page
def test_all_that_the_report_concludes_is_on_the_page(name: str) -> None:
    network, options = PAGES[name]
    report = allconv.report(network(), **options)
    said = " ".join(Page(report.to_html()).all("body")[0].text.split()).lower()
    text = str(report).partition("for one image.\n\n")[2]
    for part in re.split(r"\n  (?=\S)|\n\n", text):
        assert " ".join(part.split()).lower() in said


def test_reasons_stand_with_what_stands_in_the_way() -> None:
    page = page_named("stubborn")
    items = [e.text for e in page.all("li")]
    assert "'shift' (Lambda): it runs your own code, which allconv does not look into" in items
    assert "refused" in page.all("section")[0].looks


# the drawings


@each_page
def test_every_node_is_drawn_and_leads_to_its_row(name: str) -> None:
    network, options = PAGES[name]
    report = allconv.report(network(), **options)
    page = Page(report.to_html())
    nodes = page.all("a", "node")
    assert len(nodes) == len(report.plan.before.nodes) + len(report.plan.after.nodes)
    before = nodes[: len(report.plan.before.nodes)]
    rows = {f"#r{row.position}": row for row in report.rows}
    for node, element in zip(report.plan.before.nodes, before, strict=True):
        row = rows[element.attributes["href"]]
        assert row.layer == node.name
        assert ("changed" in element.looks) == row.changed
    assert {e.attributes["href"] for e in nodes} == set(rows)


def test_what_changes_and_what_stands_in_the_way_have_a_pattern_and_a_sign_too() -> None:
    page = page_named("stubborn")
    looks = [e.looks for e in page.all("a", "node")]
    assert len(page.all("path", "mark")) == sum(
        bool(look & {"changed", "blocks"}) for look in looks
    )
    style = page.all("style")[0].text
    assert ".changed .m { fill: url(#stripes); }" in style
    assert ".blocks .m { fill: url(#crosses); }" in style


def test_at_any_size_the_drawing_shows_the_models_own_as_the_table_does() -> None:
    nodes = page_named("mnist any").all("a", "node")
    assert not [e.attributes for e in nodes if "free" in e.looks]
    titles = [e.text for e in page_named("mnist any").all("title")]
    assert "classes: Conv2D 1x1, 1x1x10" in titles


def test_a_free_size_is_dashed() -> None:
    nodes = page_named("of any size").all("a", "node")
    assert nodes and all("free" in e.looks for e in nodes)


def item(shape: tuple[int | None, ...] | None, data_format: str = "channels_last") -> Item:
    node = replace(image(shape=shape or (None, 1)), data_format=data_format)
    return Item(node, shape, 1, "cell", "title")


@pytest.mark.parametrize(
    ("shape", "data_format", "edges"),
    [
        ((None, 30, 20, 3), "channels_last", (30, 20, 3)),
        ((None, 3, 30, 20), "channels_first", (30, 20, 3)),
        ((None, 30, 3), "channels_last", (30, 1, 3)),
        ((None, 5, 30, 20, 3), "channels_last", (30, 20, 3)),
        ((None, 12), "channels_last", (1, 1, 12)),
        ((None,), "channels_last", (1, 1, 1)),
        ((None, None, 20, 3), "channels_last", (None, 20, 3)),
        (None, "channels_last", (None, None, None)),
    ],
)
def test_the_edges_of_a_slab_are_height_width_and_channels(
    shape: tuple[int | None, ...] | None, data_format: str, edges: tuple[int | None, ...]
) -> None:
    assert item(shape, data_format).edges == edges


def test_slabs_are_to_scale_by_the_square_root() -> None:
    large, small = item((None, 64, 64, 400)), item((None, 16, 4, 100))
    scale = Scale.of([large, small])
    one, other = slab_of(large, scale), slab_of(small, scale)
    assert one.height / other.height == pytest.approx(2)
    assert one.right / other.right == pytest.approx(4)
    assert one.thickness / other.thickness == pytest.approx(2)


def test_no_two_slabs_overlap_and_all_lie_inside_the_drawing() -> None:
    page = page_named("twins")
    for net in re.findall(r"<svg class=\"net\".*?</svg>", page.source, re.DOTALL):
        width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', net).groups())
        boxes = [box(*map(float, face)) for face in re.findall(FACE, net)]
        assert len(boxes) == net.count("<a ")
        for number, (left, top, right, bottom) in enumerate(boxes):
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            for other in boxes[:number]:
                apart = right <= other[0] or other[2] <= left
                assert apart or bottom <= other[1] or other[3] <= top


FACE = r'class="f" d="M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h'


def box(left: float, top: float, width: float, height: float) -> tuple[float, ...]:
    return left, top, left + width, top + height


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("MOST_NODES", "they are made of up to 3 layers, whose links pass up to 40,000 columns."),
        ("MOST_PASSED", "they are made of up to 2,500 layers, whose links pass up to 3 columns."),
    ],
)
def test_a_network_that_nobody_could_read_is_not_drawn(
    monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    monkeypatch.setattr(network_drawings, limit, 3)
    page = page_named("mnist")
    assert not page.all("svg", "net")
    assert f"The drawings are left out: {words}" in page.source
    assert len(page.rows()) == 16, "the table is there all the same"


def test_links_that_cross_a_whole_network_take_no_long_time() -> None:
    nodes = [entry] = [image()]
    for number in range(1, 390):
        sources = [nodes[-1]] if number < 195 else [nodes[-1], nodes[389 - number]]
        nodes.append(Spec("Add", f"sum_{number}", {})(*sources))
    report = allconv.report(graph([entry], nodes[-1:]))
    start = time.perf_counter()
    assert 'class="net"' in report.to_html()
    assert time.perf_counter() - start < 10


def test_a_graph_of_one_node_is_drawn() -> None:
    assert "<svg" in drawing([item((None, 8, 8, 3))], Scale.of([item((None, 8, 8, 3))]), "x", "b")


# size and time, looks


def branching(blocks: int) -> Report:
    """A report on a network as long as the largest of keras.applications, and as crooked."""
    node = before = entry = image()
    for number in range(blocks):
        one = relu(f"relu_{number}")(conv(f"conv_{number}")(node))
        two = conv(f"other_{number}")(before)
        before, node = node, Spec("Add", f"sum_{number}", {})(one, two)
    return allconv.report(graph([entry], [node]))


def test_a_page_of_a_thousand_layers_is_small_and_quick() -> None:
    report = branching(260)
    assert len(report.rows) == 1041
    start = time.perf_counter()
    page = report.to_html()
    assert time.perf_counter() - start < 3
    assert len(page) < 3_000_000


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, by WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(part * c for part, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("words", ["ink", "soft", "link"])
@pytest.mark.parametrize("ground", ["paper", "wash", "band"])
def test_words_stand_out_from_what_they_stand_on(scheme: int, words: str, ground: str) -> None:
    style = mnist_page().all("style")[0].text
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme]))
    one, other = sorted((luminance(colours[words]), luminance(colours[ground])))
    assert (other + 0.05) / (one + 0.05) >= 4.5


def test_the_page_says_its_language_and_fits_its_width_to_the_screen() -> None:
    page = mnist_page()
    assert page.all("html")[0].attributes["lang"] == "en"
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [
        e.attributes for e in page.all("meta")
    ]
    assert Counter(e.tag for e in page.elements)["h1"] == 1


def test_what_only_works_with_the_script_is_hidden_without_it() -> None:
    page = mnist_page()
    scripted = [e for e in page.elements if "scripted" in e.looks]
    assert scripted and all("hidden" in e.attributes for e in scripted)
    assert not page.all("button")


def test_a_report_on_a_volume_is_a_page_too() -> None:
    model = keras.Sequential([keras.Input((4, 8, 8, 1)), layers.MaxPooling3D(2)], name="volume")
    assert "4x8x8x1" in Page(allconv.report(model).to_html()).source
