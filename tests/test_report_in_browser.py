"""The page of a report in Chromium; skipped where there is no Chromium, or no playwright to ask it.

`pip install playwright` and a Chromium of the system are enough: no other browser is fetched. With
CI=true, as in `.ci/run`, a system without Chromium fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import allconv
from allconv.graph import Graph, Spec
from tests.helpers import networks
from tests.helpers.plain_graphs import conv, graph, image
from tests.test_report_html import HOSTILE, POOL, network_with

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("chromium", "chromium-browser", "chrome", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MAY_SKIP = os.environ.get("CI") != "true"
pytestmark = pytest.mark.skipif(
    not CHROMIUM and MAY_SKIP, reason="there is no Chromium on the path"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert CHROMIUM, f"found none of {', '.join(NAMES)} on the path; `.ci/browser` brings one"
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def with_long_names_and_numbers() -> Graph:
    """Long names and long numbers, as those of VGG16 and ResNet50: up to 1.5e10 products."""
    node = entry = image("input_layer", (None, 224, 224, 64))
    halves = {**POOL, "pool_size": (2, 2), "strides": (2, 2)}
    for number in range(1, 5):
        settings = {"padding": "same", "filters": 256, "inputs": node.shape[-1], "size": 3}
        node = conv(f"conv{number}_block6_3_conv", **settings)(node)
        node = Spec("MaxPooling2D", f"pool{number}_block6_3_pool", halves)(node)
    node = Spec("GlobalAveragePooling2D", "avg_pool", {"keepdims": False})(node)
    return graph([entry], [node])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    reports = {
        "mnist": allconv.report(networks.mnist_cnn()),
        "stubborn": allconv.report(networks.stubborn()),
        "hostile": allconv.report(network_with(HOSTILE)),
        "deep": allconv.report(with_long_names_and_numbers()),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(report.to_html(), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in reports}


@pytest.fixture
def show(browser: Any, files: dict[str, Path]) -> Iterator[Any]:
    """Opens a page; at the end there must be no message in the console and no request but one."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def opened(name: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(files[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert len(asked) == len(contexts)


STILL = "new Promise(done => { const y = scrollY; setTimeout(() => done(y === scrollY), 60); })"
"""Whether the page has come to rest."""


def column(page: Any, number: int) -> list[str]:
    """The visible cells of a column."""
    rows = f"tbody tr:not([hidden]) > :nth-child({number})"
    return list(page.locator(rows).all_inner_texts())


def test_nothing_in_hostile_names_runs(show: Any) -> None:
    page = show("hostile")
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.scripts.length") == 1
    assert page.locator("h1").inner_text() == HOSTILE[0]


def test_the_policy_keeps_foreign_code_out_even_where_it_got_in(browser: Any, files: Any) -> None:
    page = browser.new_page()
    source = files["mnist"].read_text(encoding="utf-8")
    page.set_content(source.replace("<h1>", "<script>document.title = 'taken'</script><h1>"))
    assert page.title() == "mnist_cnn: 5 of 14 layers change"
    page.close()


@pytest.mark.slow
def test_every_column_sorts_both_ways(show: Any) -> None:
    page = show("mnist")
    for number in range(1, page.locator("thead th").count() + 1):
        button = page.locator(f"thead th:nth-child({number}) button")
        head = page.locator(f"thead th:nth-child({number})")
        orders = set()
        for _ in range(2):
            button.click()
            orders.add((head.get_attribute("aria-sort"), tuple(column(page, number))))
            assert page.locator("thead [aria-sort]").count() == 1
        assert {way for way, _ in orders} == {"ascending", "descending"}
        filled = [[cell for cell in cells if cell] for _, cells in sorted(orders)]
        if len(set(filled[0])) > 1:
            assert filled[0] != filled[1]


def test_numbers_sort_as_numbers_and_shapes_by_their_values(show: Any) -> None:
    page = show("mnist")
    page.get_by_role("button", name="parameters", exact=True).click()
    counts = [int(cell.replace(",", "")) for cell in column(page, 7)]
    assert counts == sorted(counts)
    page.get_by_role("button", name="output", exact=True).click()
    page.get_by_role("button", name="output", exact=True).click()
    shapes = column(page, 4)
    assert shapes[:3] == ["28x28x16", "14x14x32", "14x14x16"]
    assert shapes[-1] == "10"


def test_the_table_shows_its_last_column_in_a_window_of_1300_pixels(show: Any) -> None:
    for name in ("mnist", "stubborn", "deep"):
        page = show(name, viewport={"width": 1300, "height": 800})
        box = page.locator(".rows").bounding_box()
        last = page.locator("thead th:last-child").bounding_box()
        assert last["x"] + last["width"] <= box["x"] + box["width"]
        assert box["x"] + box["width"] <= 1300


@pytest.mark.slow
def test_what_is_unknown_sorts_last_both_ways(show: Any) -> None:
    page = show("stubborn")
    for _ in range(2):
        page.get_by_role("button", name="MACs", exact=True).click()
        assert column(page, 9)[-2:] == ["--", "--"]


def test_the_table_filters_by_words_and_by_what_changes(show: Any) -> None:
    page = show("mnist")
    page.get_by_label("Filter").fill("conv2d RELU")
    assert column(page, 2) == ["pool1", "pool2", "pool3"]
    assert page.locator("#count").inner_text() == "3 of 14 layers"
    page.get_by_label("Filter").fill("")
    page.get_by_label("only changed").check()
    assert column(page, 2) == ["pool1", "pool2", "pool3", "hidden", "classes"]


def test_a_slab_shows_its_facts_its_row_and_what_it_becomes(show: Any) -> None:
    page = show("mnist")
    page.locator("#b3").hover()
    assert "lit" in page.locator("#r3").get_attribute("class")
    assert page.locator(".net .lit").count() == 1 + 9
    facts = page.locator("#facts").inner_text()
    assert "pool1: MaxPooling2D" in facts
    assert "becomes 4 DepthwiseConv2D 2x2/2, 3 Add, Subtract, ReLU, 14x14x16" in facts
    assert "parameters 0 → 256" in facts
    page.locator("h1").hover()
    assert page.locator(".lit").count() == 0


@pytest.mark.slow
def test_the_facts_cover_no_slab_that_is_pointed_at(show: Any) -> None:
    page = show("mnist", viewport={"width": 375, "height": 600})
    for block in ("start", "end"):
        page.locator("#a2").evaluate("(box, block) => box.scrollIntoView({ block })", block)
        page.wait_for_function(STILL)
        page.locator("#a2").hover()
        box, facts = page.locator("#a2").bounding_box(), page.locator("#facts").bounding_box()
        above = box["y"] + box["height"] <= facts["y"]
        assert above or facts["y"] + facts["height"] <= box["y"]


@pytest.mark.slow
def test_a_slab_that_is_chosen_stays_lit_and_its_row_is_in_sight(show: Any) -> None:
    page = show("mnist")
    page.locator("#b14").click()
    page.locator("h1").hover()
    assert "lit" in page.locator("#r14").get_attribute("class")
    rows = page.locator(".rows")
    box, row = rows.bounding_box(), page.locator("#r14").bounding_box()
    assert box["y"] <= row["y"] <= box["y"] + box["height"]
    page.keyboard.press("Escape")
    assert page.locator(".lit").count() == 0
    page.locator("#b14").click()
    page.locator("h1").click()
    assert page.locator(".lit").count() == 0


def test_all_of_it_can_be_used_by_keyboard(show: Any) -> None:
    page = show("mnist")
    page.locator("#b1").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.id") == "b2"
    assert "conv1: Conv2D 3x3" in page.locator("#facts").inner_text()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "b14"
    assert "lit" in page.locator("#r14").get_attribute("class")
    page.get_by_role("button", name="layer", exact=True).focus()
    page.keyboard.press("Space")
    assert column(page, 2)[0] == "classes"
    assert page.locator(".net .node[tabindex='0']").count() == 2, "one stop for each drawing"


@pytest.mark.slow
def test_what_has_the_focus_can_be_seen(show: Any) -> None:
    page = show("mnist")
    for _ in range(12):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
                const part = document.activeElement;
                const style = getComputedStyle(part);
                const box = part.querySelector(":scope > path");
                return box ? getComputedStyle(box).strokeWidth : style.outlineWidth;
            }"""
        )
        assert seen == "3px"


@pytest.mark.slow
def test_a_drawing_zooms_by_button_and_by_key(show: Any) -> None:
    page = show("mnist")
    net = page.locator(".net").first
    width = net.bounding_box()["width"]
    page.get_by_role("button", name="Zoom in").first.click()
    assert net.bounding_box()["width"] == pytest.approx(1.25 * width, abs=1)
    page.locator("#b1").focus()
    page.keyboard.press("0")
    assert net.bounding_box()["width"] == pytest.approx(width, abs=1)


@pytest.mark.parametrize(("name", "scheme"), [("hostile", "light"), ("mnist", "dark")])
def test_a_phone_scrolls_down_only(show: Any, name: str, scheme: str) -> None:
    page = show(name, viewport={"width": 375, "height": 667}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 29)"}[scheme]


@pytest.mark.slow
def test_without_the_script_links_lead_from_slab_to_row_and_back(show: Any) -> None:
    page = show("mnist", java_script_enabled=False)
    assert page.locator("button").count() == 0
    assert not page.get_by_label("Filter").is_visible()
    page.locator("#b12").click()
    assert page.url.endswith("#r12")
    page.locator("#r12 a").click()
    assert page.url.endswith("#b12")


@pytest.mark.slow
def test_in_print_the_drawings_fit_the_paper_and_no_row_is_cut_off(show: Any) -> None:
    page = show("mnist", viewport={"width": 700, "height": 900})
    page.emulate_media(media="print")
    assert not page.locator("#facts").is_visible()
    assert page.locator("figure .net").nth(1).bounding_box()["width"] <= 700
    assert page.locator("#r14").bounding_box()["height"] > 0
    assert page.evaluate("getComputedStyle(document.querySelector('.rows')).maxHeight") == "none"


@pytest.mark.slow
def test_who_wants_less_motion_gets_none(show: Any) -> None:
    page = show("mnist", reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
