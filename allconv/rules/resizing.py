"""Resizing to a whole number of times as many cells is UpSampling, which fits maps of any size."""

from __future__ import annotations

from allconv.layout import are_known
from allconv.rule import Match, Outcome, rule

ALIKE = ("nearest", "bilinear", "bicubic")
"""Interpolations that both layers compute by the same operation."""


@rule(layer="Resizing", keeps="function")
def resizing_to_up_sampling(match: Match) -> Outcome:
    """Resizing to whole multiples of the map's sizes  ->  UpSampling2D, which fits any size."""
    config, tensor = match.node.config, match.before(match.node)
    sizes, wanted = match.layout(tensor).sizes, (config["height"], config["width"])
    made = f"it makes a map of {wanted[0]}x{wanted[1]} of any other"
    whole = are_known(sizes) and all(n % size == 0 for n, size in zip(wanted, sizes, strict=True))
    if not whole:
        return match.skip(f"{made}, and {wanted} is no whole multiple of {sizes}")
    crops = config.get("crop_to_aspect_ratio") or config.get("pad_to_aspect_ratio")
    interpolation = config.get("interpolation", "bilinear")
    if crops or interpolation not in ALIKE:
        return match.skip(f"{made}, by '{interpolation}' or in the image's own proportions")
    assert are_known(sizes)
    up = match.layer(
        "UpSampling2D",
        size=[n // size for n, size in zip(wanted, sizes, strict=True)],
        interpolation=interpolation,
        data_format=match.layout(tensor).data_format,
    )
    return up(tensor)
