"""A classifier of small images slid over a large one: what it says of each place, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from batches import scaled
from drawing import COLOURS, SHAPES, Thing, as_bytes, background, draw
from pictures import figure

import allconv

GRID, PITCH = 3, 48
"""Nine things, 48 pixels apart: the network sees no two of them whole at once."""

SIGNS = {"circle": "o", "triangle": "^", "square": "s", "star": "*", "cross": "P"}
CONFIDENT = 0.5


def show_class_map(path: Path, kinds: Sequence[str], picture: Path) -> str:
    """Draw a scene, the class map of the model in `path` over it, and say how many names fit."""
    model = keras.saving.load_model(path)
    scene, things = draw_scene(seed=2)
    anywhere = allconv.convert(model, input_size="any")
    class_map = anywhere.predict(scaled(scene[np.newaxis]), verbose=0)[0]
    where = allconv.geometry(model)
    found = [kinds[class_map[cell_of(thing, where)].argmax()] for thing in things]
    draw_map(picture, scene, class_map, kinds, where)
    right = sum(
        f"{thing.colour} {thing.shape}" == name for thing, name in zip(things, found, strict=True)
    )
    height, width = class_map.shape[:2]
    return (
        f"a scene of {scene.shape[0]}x{scene.shape[1]} pixels, a class map of {height}x{width} "
        f"cells: {right} of {len(things)} things are named right at their centres ({picture})"
    )


def draw_scene(seed: int) -> tuple[np.ndarray, list[Thing]]:
    """Draw an image of bytes with nine things on a loose grid; return it and them."""
    random = np.random.default_rng(seed)
    canvas = background(GRID * PITCH, GRID * PITCH, random)
    things = []
    for row, column in np.ndindex(GRID, GRID):
        shape, colour = random.choice(list(SHAPES)), random.choice(list(COLOURS))
        place = [(cell + 0.5) * PITCH + random.uniform(-3, 3) for cell in (row, column)]
        size, rotation = random.uniform(6, 9), random.uniform(0, 2 * np.pi)
        things.append(Thing(str(shape), str(colour), (place[0], place[1]), size, rotation))
        draw(canvas, things[-1])
    return as_bytes(canvas), things


def cell_of(thing: Thing, where: allconv.Geometry) -> tuple[int, int]:
    """Find the cell of the class map that looks at the middle of a thing."""
    row, column = where.cell([place - 0.5 for place in thing.centre])
    return row, column


def draw_map(
    path: Path,
    scene: np.ndarray,
    class_map: np.ndarray,
    kinds: Sequence[str],
    where: allconv.Geometry,
) -> None:
    """Draw the scene, and beside it a sign in its colour wherever the map is more sure than not."""
    rows, columns = where.centres(class_map.shape[:2])
    with figure(path, 9, 4.5) as drawn:
        drawn.add_subplot(1, 2, 1, title="image").imshow(scene)
        axes = drawn.add_subplot(1, 2, 2, title="class map, where surer than 50 %")
        axes.imshow(np.full_like(scene, 25))
        for row, column in np.argwhere(class_map.max(-1) > CONFIDENT):
            colour, shape = kinds[class_map[row, column].argmax()].split()
            rgb = np.array(COLOURS[colour]) / 255
            axes.scatter(columns[column], rows[row], marker=SIGNS[shape], color=[rgb], s=28)
