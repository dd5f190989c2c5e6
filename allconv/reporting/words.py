"""What is said of a conversion: titles, remarks and conclusions, in sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from allconv.building.untrusted import remedy
from allconv.layout import are_known, layout
from allconv.obstacles import missing_size
from allconv.reporting.facts import Facts
from allconv.reporting.rows import Row
from allconv.shape_walk import images, size_words
from allconv.sizes.map_geometry import Geometry

KEEPS = {
    "function": "same numbers up to rounding",
    "shape": "same shapes, needs training",
    "axes": "other map sizes, needs training",
}

BLOCKING = "stand in the way"
WINDOWS = "3x3/2: a window of 3x3 with stride 2."
COSTS = "MACs: multiply-accumulates for one image."


def title(report: Facts) -> str:
    """Say how many layers change, as a title."""
    changed = sum(row.changed for row in report.rows)
    change = "changes" if changed == 1 else "change"
    first = ""
    if report.refused:
        first, change = "refused; ", "would change"
    return f"{report.plan.before.name}: {first}{changed} of {len(report.rows)} layers {change}"


def refusal(report: Facts) -> Iterator[str]:
    """Say that `convert` refuses the model, why, and what to do; nothing where it does not."""
    if not report.refused:
        return
    reasons = [_standing(report)] if report.strict and report.obstacles else []
    if report.not_made:
        reasons.append(f"allconv does not make {', '.join(report.not_made)} from a file")
        way = f"; {remedy(report.plan.after)}."
    else:
        way = "; strict=False keeps such layers."
    yield f"convert refuses this model: {', and '.join(reasons)}{way}"
    if size := missing_size(report.plan, report.obstacles):
        yield f"{size}."


def in_the_way(report: Facts) -> list[str]:
    """Say what stands in the way, and why."""
    return list(map(str, report.obstacles))


def _standing(report: Facts) -> str:
    """Say how many layers stand in the way, and how many others stay because of them."""
    count = sum(1 + len(obstacle.alike) for obstacle in report.obstacles)
    held = sum(len(obstacle.held) for obstacle in report.obstacles)
    stand = "1 layer stands in the way" if count == 1 else f"{count} layers stand in the way"
    if not held:
        return stand
    hold = "holds" if count == 1 else "hold"
    return f"{stand} and {hold} up {held} {'other' if held == 1 else 'others'}"


def class_words(row: Row) -> str:
    """Name a layer's class, and the activation that matters: `Activation (relu)`."""
    return f"{row.kind} ({row.activation})" if row.activation else row.kind


def keeps_words(row: Row) -> str:
    """Say what the rules that were applied to a layer keep; "" where there were none."""
    return "" if row.keeps is None else KEEPS[row.keeps]


def becomes_words(row: Row) -> str:
    """Say what a layer becomes: `Conv2D 3x3`, `4 DepthwiseConv2D 2x2/2, ...`; "" for itself."""
    if not row.changed:
        return ""
    parts = Counter(row.becomes).items()
    return ", ".join(f"{n} {part}" if n > 1 else part for part, n in parts) or "(left out)"


def legend(report: Facts) -> str:
    """Explain what the tables do not explain themselves."""
    has_windows = any(re.search(r"\d/\d", becomes_words(row)) for row in report.rows)
    return f"{WINDOWS}  {COSTS}" if has_windows else COSTS


def remarks(report: Facts) -> Iterator[tuple[str, list[str]]]:
    """Return titles, each with what is to be said under it, if anything."""
    rules = dict.fromkeys((change.rule, change.keeps) for change in report.changes)
    yield (
        "rules",
        [
            f"{rule} ({KEEPS[keeps]}): "
            + _listed(c.layer for c in report.changes if (c.rule, c.keeps) == (rule, keeps))
            for rule, keeps in rules
        ],
    )
    yield "notes", [f"{row.layer}: {'; '.join(row.notes)}" for row in report.rows if row.notes]
    yield (
        "start fresh, to be trained",
        [f"{row.layer}: {_listed(row.fresh)}" for row in report.rows if row.fresh],
    )
    yield "no longer shared: same numbers, but trained apart", list(report.plan.unshared)
    yield BLOCKING, [] if report.refused else in_the_way(report)
    told = " ".join(obstacle.reason for obstacle in report.obstacles)
    skips = {row.layer: [skip for skip in row.skips if skip not in told] for row in report.rows}
    yield "left as they are", [f"{layer}: {'; '.join(why)}" for layer, why in skips.items() if why]


def conclusions(report: Facts) -> Iterator[str]:
    """Yield what all of it comes to."""
    if report.refused:
        return
    changes = any(row.changed for row in report.rows)
    if changes and report.lossless:
        yield "The result computes the same numbers as the model, up to rounding."
    elif changes:
        yield "The result has to be trained: it does not compute the same numbers as the model."
    elif not report.obstacles:
        kind = "fully convolutional" if report.kept_pools else "all-convolutional"
        yield f"Nothing changes: the model is {kind}, and convert copies it."
    if report.kept_pools and not report.obstacles:
        yield (
            "The result is fully convolutional, not all-convolutional: pools stay "
            f"({_listed(report.kept_pools)})."
        )
    if report.not_compiled:
        yield f"{left_behind(report.not_compiled)}."
    if report.fixed:
        yield "Fixed kernels are frozen; after model.trainable = True, call allconv.freeze_fixed."
    if report.geometry is not None:
        yield f"Geometry: {report.geometry}."
    if report.input_size is not None and report.geometry and report.own_geometry:
        yield from _sizes(report, report.own_geometry, report.geometry)
    if report.verification is not None:
        yield str(report.verification)
    if report.obstacles:
        count = sum(map(len, (obstacle.layers for obstacle in report.obstacles)))
        yield f"{_standing(report)}, and {'stays' if count == 1 else 'stay'}."


def left_behind(why: str) -> str:
    """Say that a file's compile settings do not come along, and why."""
    return f"Compile settings of the file stay behind, since {why}; compile the result yourself"


def _sizes(report: Facts, own_geometry: Geometry, geometry: Geometry) -> Iterator[str]:
    """Yield what the result takes and gives, and whether its map is the model slid."""
    finer = report.plan.output_stride is not None
    own_size = own_geometry.input_size
    at_own = geometry if report.input_size == "any" else own_geometry
    own = f"{size_words(at_own.output_size)} at {size_words(own_size)}"
    if finer and report.input_size != "any":
        own += f", at stride {size_words(own_geometry.period)}"
    if report.input_size == "any":
        smallest, step = size_words(geometry.minimum_input_size), geometry.input_size_step
        steps = f" in steps of {size_words(step)}" if max(step) > 1 else ""
        maps = f": {own}" if are_known(geometry.output_size) else ""
        yield f"The result takes images of any size from {smallest} on{steps} and gives maps{maps}."
        if max(geometry.minimum_input_size) > 1:
            yield "Of a smaller image Keras may make numbers that mean nothing, without an error."
    else:
        image = next(i for i in images(report.plan.after) if len(i.sizes) == len(geometry.period))
        size, result = (
            size_words(image.sizes),
            size_words(layout(report.plan.after.outputs[0]).sizes),
        )
        yield (
            f"The result takes images of {size} and gives maps of {result} ({own}); costs before "
            f"are those at {size_words(own_size)}, after at {size}."
        )
    if finer and geometry.padded:
        yield from _moved(own_geometry, geometry)
    elif geometry.padded:
        yield (
            f"The map differs from what the model says of crops of the image: {_few(geometry)}, "
            "and where a crop has its border the whole image goes on."
        )
    elif set(own_geometry.output_size) == {1}:
        crops = _crops(geometry, own_geometry.input_size)
        yield f"The map is the model slid over the image: {crops}."


def _moved(own: Geometry, geometry: Geometry) -> Iterator[str]:
    """Yield what the cells of a finer map are if layers pad, and how many padding reaches."""
    yield (
        f"No cell is what the model says of a crop of the image: {_few(geometry)}, and where a "
        "crop has its border the whole image goes on."
    )
    sides = " and ".join(f"{before} + {behind}" for before, behind in geometry.margin or ())
    yield (
        f"Cell ({_start(geometry, '')}) is that of the map of stride {size_words(own.period)} "
        f"of the image moved by ({_start(geometry)}), but for those at the borders that padding "
        f"reaches: {sides} cells along its axes."
    )


def _start(geometry: Geometry, stride: str = "stride") -> str:
    """Say where in the image a cell begins, or its number."""
    pairs = zip(geometry.output_stride, "ijk", strict=False)
    return ", ".join(f"{each:g} {axis}" if stride else axis for each, axis in pairs)


def _crops(geometry: Geometry, size: Sequence[int | None]) -> str:
    """Say which crop of the image, of the model's own size, a cell of the map stands for."""
    start = _start(geometry)
    crop = f"a cell is what the model says of the crop of {size_words(size)}"
    text = f"{crop} that begins at ({start})"
    if geometry.period == geometry.output_stride:
        return text
    return f"{text}, where these are multiples of {size_words(geometry.period)}"


def _few(geometry: Geometry) -> str:
    """Count the layers that pad, and name the first ones."""
    names = geometry.padded
    if len(names) == 1:
        return f"'{names[0]}' pads or treats the border apart"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{', '.join(repr(name) for name in names[:2])}{more} pad or treat the border apart"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
