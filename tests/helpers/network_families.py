"""What a random network may have beyond the ordinary, what is held of it, and how often."""

from __future__ import annotations

DRAWN = {
    "axes": 0.3,
    "policies": 0.25,
    "quantized": 0.08,
    "written": 0.3,
    "constrained": 0.2,
    "outputs": 0.25,
    "input_size": 0.25,
    "fold": 0.2,
    "lenient": 0.25,
    "lean": 0.12,
    "keep": 0.08,
}
"""Ingredients, and choices of `convert`."""

HELD = {
    "numbers": 1.0,
    "reports": 0.2,
    "verified": 0.25,
    "compiled": 0.25,
    "copies": 0.12,
    "files": 0.1,
    "read": 0.1,
    "geometry": 0.15,
}
"""What is looked at besides the numbers: most of it takes longer than the conversion."""

ALL = frozenset(DRAWN) | frozenset(HELD)


def chosen(random, allowed=ALL):
    """The families of one network. What others may be chosen changes nothing for each."""
    odds = DRAWN | HELD
    return frozenset(name for name in odds if random.random() < odds[name]) & allowed
