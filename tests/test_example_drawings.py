"""The shapes that examples/shapes.py draws are what their labels say."""

from __future__ import annotations

import colorsys
from collections import Counter

import numpy as np
import pytest
import shapes
from class_map import cell_of
from drawing import SHAPES, Thing, draw, drawn_at_random

import allconv

HUES = {"red": 0, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "magenta": 300}
"""Degrees on the colour circle."""

GEOMETRY = allconv.Geometry(
    output_stride=(8, 8),
    receptive_field=(45, 45),
    offset=(15, 15),
    field_offset=(15, 15),
    minimum_input_size=(31, 31),
    input_size_step=(1, 1),
    period=(8, 8),
    input_size=(32, 32),
    output_size=(1, 1),
    padded=(),
)

AREAS = {
    "circle": np.pi,
    "triangle": 3 * np.sqrt(3) / 4,
    "square": 2,
    "star": 5 * 0.4 * np.sin(np.pi / 5),  # ten triangles with sides 1 and 0.4
    "cross": 2,  # five squares of side s; the farthest corner is at sqrt(10) / 2 s
}
"""The area of each shape whose farthest point is at 1 from its centre."""


def hue_of(image: np.ndarray) -> int:
    """The hue, in steps of 60 degrees, of most pixels that have a colour."""
    pixels = (image.reshape(-1, 3) / 255).tolist()
    seen = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels]
    return Counter(round(hue * 6) % 6 * 60 for hue, depth, _ in seen if depth > 0.6).most_common(1)[
        0
    ][0]


def test_most_coloured_pixels_have_the_colour_of_the_label() -> None:
    images, things = shapes.drawn(120, seed=5)
    assert [hue_of(image) for image in images] == [HUES[thing.colour] for thing in things]
    names = [shapes.TASKS["colour"][label] for label in shapes.labels("colour", things)]
    assert names == [thing.colour for thing in things]


def test_a_label_of_both_is_the_pair_of_the_other_two_labels() -> None:
    things = shapes.drawn(60, seed=5)[1]
    kinds = [shapes.TASKS["both"][label] for label in shapes.labels("both", things)]
    parts = [shapes.TASKS[task] for task in ("colour", "shape")]
    colours, forms = (
        [names[label] for label in shapes.labels(task, things)]
        for task, names in zip(("colour", "shape"), parts, strict=True)
    )
    assert kinds == [f"{colour} {form}" for colour, form in zip(colours, forms, strict=True)]
    assert len(set(shapes.TASKS["both"])) == 30


def painted(shape: str, rotation: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """What is painted of a large shape of size 60, and each pixel's distance from its centre."""
    canvas = np.zeros((240, 240, 3))
    draw(canvas, Thing(shape, "cyan", (120, 120), 60, rotation))
    rows, columns = np.indices((240, 240)) - 119.5
    return canvas[..., 1] > 100, np.hypot(rows, columns)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_the_area_of_its_circle_and_its_own_farthest_point(shape: str) -> None:
    inside, distance = painted(shape)
    assert inside.sum() == pytest.approx(np.pi * 60**2, rel=0.01)
    assert distance[inside].max() ** 2 * AREAS[shape] == pytest.approx(inside.sum(), rel=0.04)


@pytest.mark.parametrize(
    ("shape", "repeats"), [("triangle", 3), ("square", 4), ("star", 5), ("cross", 4)]
)
def test_a_shape_looks_the_same_after_one_of_its_turns_and_no_other(
    shape: str, repeats: int
) -> None:
    upright = painted(shape, 0)[0]
    for parts in (3, 4, 5):
        changed = (painted(shape, 2 * np.pi / parts)[0] != upright).sum()
        assert (changed < 20) == (parts == repeats)


def test_a_cross_has_the_notches_that_a_square_has_not() -> None:
    for shape, whole in (("square", True), ("cross", False)):
        inside, distance = painted(shape)
        within = distance < 0.65 * distance[inside].max()  # a square's edges are at 0.71
        assert inside[within].all() == whole


def test_the_cell_of_a_class_map_that_names_a_thing_looks_at_its_middle() -> None:
    # With offset 15 and stride 8 the cells look at pixels 15, 23, 31, ..., whose middles are at .5.
    for centre, cell in [((15.5, 15.5), (0, 0)), ((27.0, 28.0), (1, 2)), ((72, 120), (7, 13))]:
        assert cell_of(Thing("star", "red", centre, 8, 0), GEOMETRY) == cell


def test_a_thing_lies_wholly_in_its_image() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        thing = drawn_at_random(32, 32, random)
        centre = thing.centre[0] + 8, thing.centre[1] + 8
        canvas = np.zeros((48, 48, 3))
        draw(canvas, thing._replace(centre=centre))
        # The edge is one pixel soft, so half a pixel of it may lie outside.
        assert canvas[8:40, 8:40].sum() == pytest.approx(canvas.sum(), rel=0.01)
