"""Coloured shapes drawn with NumPy: 6 colours, 5 shapes, any place, size and rotation, on noise.

A shape is what lies within r(angle) of its centre. Its size is the radius of the circle of the same
area, so that neither the size nor the number of coloured cells tells which shape it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Boundary = Callable[[np.ndarray], np.ndarray]

COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 180, 50),
    "blue": (50, 70, 225),
    "yellow": (225, 210, 40),
    "magenta": (205, 50, 205),
    "cyan": (45, 200, 210),
}


def pointed(points: int, waist: float) -> Boundary:
    """Outline a star, or a polygon: straight lines from points at 1 to waists between."""
    half = np.pi / points

    def boundary(angles: np.ndarray) -> np.ndarray:
        angles = np.abs((angles + half) % (2 * half) - half)  # from the nearest point, at most half
        return waist * np.sin(half) / (np.sin(angles) + waist * np.sin(half - angles))

    return boundary


def cross(angles: np.ndarray) -> np.ndarray:
    """Two bars at right angles, three times as long as they are wide."""
    angles = np.abs((angles + np.pi / 4) % (np.pi / 2) - np.pi / 4)
    return np.minimum(1 / np.cos(angles), 1 / 3 / np.maximum(np.sin(angles), 1e-9))


SHAPES: dict[str, Boundary] = {
    "circle": np.ones_like,
    "triangle": pointed(3, np.cos(np.pi / 3)),
    "square": pointed(4, np.cos(np.pi / 4)),
    "star": pointed(5, 0.4),
    "cross": cross,
}


class Thing(NamedTuple):
    """A coloured shape: names, centre `(row, column)` and size in pixels, rotation in radians."""

    shape: str
    colour: str
    centre: tuple[float, float]
    size: float
    rotation: float


def background(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Grey noise, float64 `(height, width, 3)` from 0 to 255."""
    return random.normal(random.uniform(30, 150), 15, (height, width, 3))


def draw(canvas: np.ndarray, thing: Thing) -> None:
    """Paint a thing over `canvas` `(height, width, 3)`, its edge one pixel soft."""
    rows, columns = np.indices(canvas.shape[:2]) + 0.5
    rows, columns = rows - thing.centre[0], columns - thing.centre[1]
    angles = np.arctan2(rows, columns) + thing.rotation
    reach = thing.size * area_radius(thing.shape) * SHAPES[thing.shape](angles)
    coverage = np.clip(reach - np.hypot(rows, columns) + 0.5, 0, 1)[..., np.newaxis]
    canvas += coverage * (np.array(COLOURS[thing.colour]) - canvas)


def area_radius(shape: str) -> float:
    """Say how far a shape's farthest point lies from its centre, for a circle's area of pi."""
    angles = np.linspace(0, 2 * np.pi, 3600, endpoint=False)
    return float(1 / np.sqrt(np.mean(SHAPES[shape](angles) ** 2)))


def drawn_at_random(height: int, width: int, random: np.random.Generator) -> Thing:
    """Draw a thing at random that lies wholly within so large an image."""
    shape, colour = random.choice(list(SHAPES)), random.choice(list(COLOURS))
    size = random.uniform(0.18, 0.28) * min(height, width)
    reach = size * area_radius(shape)
    centre = random.uniform(reach, height - reach), random.uniform(reach, width - reach)
    return Thing(str(shape), str(colour), centre, size, random.uniform(0, 2 * np.pi))


def as_bytes(canvas: np.ndarray) -> np.ndarray:
    """Return a painted canvas as bytes."""
    return np.clip(canvas, 0, 255).round().astype("uint8")
