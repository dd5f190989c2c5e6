"""Fits what replaced the max pools of a trained network, without labels and without gradients.

Layer by layer, in order: a layer that stands for a max pool is fitted by least squares, on what the
converted network really feeds it, to what the pool gave. Then each convolution below is fitted to
give what it gave before its activation, and a BatchNormalization gets statistics that suit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from allconv.building.build import build
from allconv.errors import CalibrationError
from allconv.fitting.agreement import agreement
from allconv.fitting.batches import Batches
from allconv.fitting.calibration import Calibration, FittedLayer
from allconv.fitting.least_squares.batchnorm import match_norm
from allconv.fitting.least_squares.pairing import Pairing, pair
from allconv.fitting.least_squares.solve import fit_layer
from allconv.fitting.least_squares.targets import Fit
from allconv.fitting.models import Verbose, put_in_place, read_pair
from allconv.graph import Graph
from allconv.read.file import ModelFile
from allconv.verification.precision import inference

if TYPE_CHECKING:
    import keras

PASSES = 4
"""How often a layer before a relu is fitted; eight gained a tenth of a point on CIFAR-10."""

NOTHING_TO_FIT = (
    "no new layer stands for a max pool, and an exact conversion keeps the outputs as they are; "
    "those with pooling 'conv' or 'stride' are fitted"
)


def calibrate(
    original: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    converted: keras.Model,
    images: Any,
    *,
    batch_size: int = 250,
    refit: bool = True,
    passes: int = PASSES,
    verbose: Verbose = "auto",
) -> Calibration:
    """Fit what replaced the max pools of a trained network; no labels, no gradients.

    Args:
        original: The network that was converted, in memory or a file.
        converted: What `convert` made of it with `pooling="conv"` or `"stride"`, in memory; layers
            are paired by their names, so it may have been saved in between. Its weights are
            changed, all at the end.
        images: An array, or several by the inputs' names, samples along the first axis, as the
            original takes them; or what gives batches each time it is gone through: a list, a
            `keras.utils.PyDataset`, a `tf.data.Dataset`. Of pairs (images, labels) the labels are
            not used. A few hundred do; memory does not depend on their number.
        batch_size: Images that are run at once.
        refit: Fit the convolutions below the new layers, too, to give what they gave.
        passes: How often a layer before a relu is fitted; each is as good as the one before, at
            least.
        verbose: 0 for silence; otherwise a bar is shown, a step for each layer.

    Returns:
        How well each layer meets its target, and how near the outputs are before and after.

    Raises:
        CalibrationError: No layer stands for a max pool, the models do not belong together, or one
            of them fails on the images.
        ModelError: One of the models cannot be read, or the converted one is a file.
        OptionError: The images do not fit the original, hold NaN, or can be gone through only once.

    Example:
        >>> converted = allconv.convert(model, pooling="conv")
        >>> calibration = allconv.calibrate(model, converted, images, verbose=0)
        >>> calibration.after.error < calibration.before.error
        True
    """
    start = time.perf_counter()
    before, after = read_pair(original, converted)
    pairing = pair(before, after, refit)
    _refuse_nothing(before, after, pairing)
    reference = build(before)
    batches = Batches(images, reference, batch_size)
    with inference():
        was = agreement(reference, converted, batches)
        fitted, layers = _fitted(pairing, before, after, batches, passes, verbose)
        now = agreement(reference, build(fitted), batches)
    improved = now.error < was.error
    if improved:
        put_in_place(after, fitted)
    elapsed = time.perf_counter() - start
    return Calibration(
        tuple(layers), pairing.not_fitted, was, now, improved, batches.images, elapsed
    )


def _fitted(
    pairing: Pairing, before: Graph, after: Graph, batches: Batches, passes: int, verbose: Verbose
) -> tuple[Graph, list[FittedLayer]]:
    """Fit the layers of the converted network, and say how each went."""
    layers = []
    with _bar(len(pairing.steps), verbose) as advance:
        for step in pairing.steps:
            start = time.perf_counter()
            if isinstance(step, Fit):
                after, score = fit_layer(step, before, after, batches, passes)
                kind = after.nodes[step.targets[0].place].kind
                seconds = time.perf_counter() - start
                layers.append(FittedLayer(step.layer, kind, step.stands_for, score.r2, seconds))
            else:
                after = match_norm(step, before, after, batches)
            advance()
    return after, layers


@contextmanager
def _bar(steps: int, verbose: Verbose) -> Iterator[Callable[[], None]]:
    """Make Keras' own bar, one step for each layer."""
    import keras

    if not verbose:
        yield lambda: None
        return
    bar = keras.utils.Progbar(steps, unit_name="layer")
    yield lambda: bar.add(1)


def _refuse_nothing(before: Graph, after: Graph, pairing: Pairing) -> None:
    """Raise an error where no layer stands for a max pool."""
    if any(isinstance(step, Fit) and step.stands_for for step in pairing.steps):
        return
    lines = [f"\n  {name}: {reason}" for name, reason in pairing.not_fitted.items()]
    if not lines:
        raise CalibrationError(f"'{after.name}' needs no fitting: {NOTHING_TO_FIT}")
    raise CalibrationError(
        f"no layer of '{after.name}' can be fitted in the place of a max pool of "
        f"'{before.name}':{''.join(lines)}"
    )
