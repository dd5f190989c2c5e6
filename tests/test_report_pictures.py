"""The drawing of a network as a file of its own: SVG without a style sheet, and PNG."""

from __future__ import annotations

import io
import re
import sys
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from keras import layers

import allconv
from allconv.errors import OptionError
from allconv.reporting import svg
from allconv.reporting.html import network_drawings
from tests.helpers import networks
from tests.helpers.keras_comparison import network
from tests.test_cli import run
from tests.test_report_html import HOSTILE, PAGES, each_page, network_with

SVG = "{http://www.w3.org/2000/svg}"
STRONG, PATTERNS = "#3f6ea8", {"url(#stripes)", "url(#crosses)"}
"""The front of a convolution's box; the two fills that are no colours."""


@cache
def report_of(name):
    network, options = PAGES[name]
    return allconv.report(network(), **options)


def elements(text):
    return [
        (each.tag.removeprefix(SVG), each.attrib) for each in ElementTree.fromstring(text).iter()
    ]


@each_page
def test_a_picture_is_styled_by_attributes_alone_and_asks_for_nothing(name):
    text = report_of(name).to_svg()
    found = elements(text)
    tags = {"svg", "g", "title", "text", "rect", "path", "defs", "pattern"}
    assert {tag for tag, _ in found} == tags
    for tag, given in found:
        assert not {"class", "style", "href"} & set(given)
        assert not any(attribute.startswith("on") for attribute in given)
        if tag in ("path", "rect", "text"):
            fill = given.get("fill", "none" if "stroke" in given else "")
            assert fill in PATTERNS | {"none"} or re.fullmatch("#[0-9a-f]{6}", fill)
    assert text.count("://") == 1, "the name of SVG itself"
    assert set(re.findall(r"url\(#\w+\)", text)) <= PATTERNS


@each_page
def test_a_picture_holds_what_the_page_draws_on_a_ground_as_large_as_itself(name):
    report = report_of(name)
    page, (root, *found) = report.to_html(), elements(report.to_svg())
    drawn = [given["d"] for tag, given in found if tag == "path"]
    faces = re.findall(r'<path class="[mtf]" d="([^"]+)"', page.partition('<svg class="net"')[2])
    assert set(faces) <= set(drawn)
    ground = next(given for tag, given in found if tag == "rect" and given["fill"] == "#ffffff")
    assert (ground["width"], ground["height"]) == (root[1]["width"], root[1]["height"])
    assert root[1]["viewBox"] == f"0 0 {ground['width']} {ground['height']}"
    for net in re.findall(r'class="net" width="(\d+)"', page):
        assert int(net) < int(ground["width"])


def test_a_picture_of_a_refused_model_says_so():
    root = ElementTree.fromstring(report_of("stubborn").to_svg())
    words = "stubborn: refused; 1 of 6 layers would change"
    assert root.findtext(f"{SVG}title") == root.findtext(f"{SVG}text") == words


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_a_text_in_a_picture(name):
    hostile = allconv.report(network_with((name,))).to_svg()
    harmless = allconv.report(network_with(("name",))).to_svg()
    assert [tag for tag, _ in elements(hostile)] == [tag for tag, _ in elements(harmless)]
    hostile.encode()


def test_a_network_that_is_too_large_to_draw_is_named(monkeypatch):
    monkeypatch.setattr(network_drawings, "MOST_NODES", 3)
    with pytest.raises(OptionError, match="model 'mnist_cnn' is too large to draw"):
        report_of("mnist").to_svg()


# PNG


def pixels(data):
    image = pytest.importorskip("matplotlib.image")
    return np.round(255 * image.imread(io.BytesIO(data), format="png")[..., :3]).astype(int)


def test_a_png_has_the_colours_of_the_svg_in_their_places():
    pytest.importorskip("matplotlib")
    report = report_of("mnist")
    picture, shown = ElementTree.fromstring(report.to_svg()), pixels(report.to_png())
    size = (2 * int(picture.attrib["height"]), 2 * int(picture.attrib["width"]))
    assert shown.shape[:2] == pytest.approx(size, abs=1)
    assert tuple(shown[1, 1]) == (255, 255, 255)
    looked = 0
    for group in picture.findall(f"{SVG}g"):
        moved_x, moved_y = map(float, re.findall(r"[\d.]+", group.attrib["transform"]))
        for path in group.iter(f"{SVG}path"):
            if path.attrib["fill"] == STRONG:
                found = re.match(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)", path.attrib["d"])
                x, y, wide, high = map(float, found.groups())
                place = 2 * (moved_y + y + high / 2), 2 * (moved_x + x + wide / 2)
                assert "#{:02x}{:02x}{:02x}".format(*shown[tuple(map(int, place))]) == STRONG
                looked += 1
    assert looked == 3 + 3 + 12 + 2


def test_a_png_of_names_in_any_letters_is_painted():
    pytest.importorskip("matplotlib")
    for name in ("$x_1$ 畳み込み", HOSTILE[0]):
        assert allconv.report(network_with((name,))).to_png().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(OptionError, match=r"pip install matplotlib brings it, and to_svg"):
        report_of("mnist").to_png()


def test_the_command_writes_the_pictures(tmp_path: Path):
    networks.mnist_cnn().save(file := tmp_path / "model.keras")
    assert run("report", file, "-o", tmp_path / "net.svg").exit_code == 0
    assert (tmp_path / "net.svg").read_text("utf-8") == allconv.report(file).to_svg()
    pytest.importorskip("matplotlib")
    assert run("report", file, "-o", tmp_path / "net.png").exit_code == 0
    assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")


def test_a_pdf_is_the_drawing_in_lines_and_the_same_each_time():
    pytest.importorskip("matplotlib")
    made = report_of("mnist").to_pdf()
    assert made.startswith(b"%PDF") and b"/Subtype /Image" not in made
    assert made == report_of("mnist").to_pdf()
    width, height = map(float, re.search(rb"MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", made).groups())
    drawn = ElementTree.fromstring(report_of("mnist").to_svg()).attrib
    assert width / height == pytest.approx(int(drawn["width"]) / int(drawn["height"]), rel=1e-3)


def test_a_report_is_written_in_all_forms_that_are_asked_for(tmp_path: Path):
    networks.mnist_cnn().save(file := tmp_path / "model.keras")
    outputs = [tmp_path / name for name in ("net.svg", "page.html", "rows.csv")]
    result = run("report", file, *(word for output in outputs for word in ("-o", output)))
    assert result.stdout == "".join(f"written: {output}\n" for output in outputs)
    assert outputs[0].read_text("utf-8") == allconv.report(file).to_svg()
    assert outputs[2].read_bytes().decode() == allconv.report(file).to_csv()


def test_where_one_form_cannot_be_made_none_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(network_drawings, "MOST_NODES", 1)
    networks.mnist_cnn().save(file := tmp_path / "model.keras")
    assert run("report", file, "-o", tmp_path / "a.csv", "-o", tmp_path / "net.svg").exit_code == 2
    assert not (tmp_path / "a.csv").exists()


@each_page
def test_a_picture_says_which_layer_each_number_is(name):
    report = report_of(name)
    texts = [each.text for each in ElementTree.fromstring(report.to_svg()).iter(f"{SVG}text")]
    for row in report.rows:
        (found,) = (text for text in texts if text.startswith(f"{row.position} ") and ": " in text)
        assert row.kind[:30] in found


def test_a_key_of_very_many_layers_ends_with_their_number(monkeypatch):
    monkeypatch.setattr(svg, "MOST_NAMED", 3)
    texts = [each.text for each in ElementTree.fromstring(report_of("mnist").to_svg())]
    assert texts[-1] == f"and {len(report_of('mnist').rows) - 3} more"


def test_the_legend_explains_what_occurs_and_nothing_else():
    def explained(*steps):
        report = allconv.report(network((8, 8, 1), *steps))
        texts = {each.text for each in ElementTree.fromstring(report.to_svg())}
        return {look for look, words in network_drawings.LEGEND.items() if words in texts}

    assert explained(layers.Conv2D(2, 3)) == {"conv", "cell"}
    assert explained(layers.MaxPooling2D(2)) == {"pool", "conv", "cell", "changed"}
