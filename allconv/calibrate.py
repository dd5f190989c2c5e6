"""Fits what replaced the max pools of a trained network, without labels and without gradients.

Layer by layer, in order: a layer that stands for a max pool is fitted by least squares, on what the
converted network really feeds it, to what the pool gave. Then each convolution below is fitted to
give what it gave before its activation, and a BatchNormalization gets statistics that suit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from allconv.build import build
from allconv.errors import CalibrationError, ModelError
from allconv.fitting.agreement import Agreement, agreement
from allconv.fitting.batches import Batches, count
from allconv.fitting.norms import match_norm
from allconv.fitting.pairing import Fit, Pairing, pair
from allconv.fitting.solve import fit_layer, scores
from allconv.graph import Graph, Node
from allconv.read import is_live, read
from allconv.read.file import ModelFile
from allconv.reporting.text_table import Column, table
from allconv.verification.precision import inference

if TYPE_CHECKING:
    import keras

PASSES = 4
"""How often a layer before a relu is fitted; eight gained a tenth of a point on CIFAR-10."""


@dataclass(frozen=True)
class FittedLayer:
    """One layer that was fitted.

    Attributes:
        name: Its name.
        kind: Its class.
        stands_for: The max pool in whose place it is, "" for a layer that was there before.
        r2: The share of the variance of its goal that it explains on the images, 1 for all of it;
            behind the relu, where one follows.
        seconds: What fitting it took.
    """

    name: str
    kind: str
    stands_for: str
    r2: float
    seconds: float


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did.

    Attributes:
        layers: The layers that were fitted, in order.
        left: Max pools whose new layers could not be fitted, with the reasons.
        before: How far the outputs were from the original's, on the images.
        after: How far they are with the fitted weights.
        kept: Whether these are in place: not where the outputs were nearer, or as near, before.
        images: How many images there were.
        seconds: What all of it took.
    """

    layers: tuple[FittedLayer, ...]
    left: Mapping[str, str]
    before: Agreement
    after: Agreement
    kept: bool
    images: int
    seconds: float

    def __str__(self) -> str:
        columns = [Column(title) for title in ("layer", "class", "in place of")]
        columns += [Column(title, right=True) for title in ("R2", "seconds")]
        rows = [
            (layer.name, layer.kind, layer.stands_for, f"{layer.r2:.4f}", f"{layer.seconds:.1f}")
            for layer in self.layers
        ]
        lines = [table(columns, rows), ""]
        lines += [f"{name}: not fitted, {reason}" for name, reason in self.left.items()]
        lines += [
            f"{self.images:,} images, {self.seconds:.1f} s",
            f"outputs before: {self.before}",
            f"outputs after:  {self.after}",
        ]
        if not self.kept:
            lines.append("The outputs were no farther before, so the model was left as it was.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return asdict(self)


def calibrate(
    original: keras.Model | str | os.PathLike[str] | ModelFile | Graph,
    converted: keras.Model,
    images: Any,
    *,
    batch_size: int = 250,
    refit: bool = True,
    passes: int = PASSES,
    progress: bool = True,
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
        progress: Show a bar, a step for each layer.

    Returns:
        How well each layer meets its goal, and how near the outputs are before and after.

    Raises:
        CalibrationError: No layer stands for a max pool, the models do not belong together, or one
            of them fails on the images.
        ModelError: One of the models cannot be read, or the converted one is a file.
        OptionError: The images do not fit the original, hold NaN, or can be gone through only once.

    Example:
        >>> converted = allconv.convert(model, pooling="conv")
        >>> calibration = allconv.calibrate(model, converted, images, progress=False)
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
        fitted, seconds = _fitted(pairing, before, after, batches, passes, progress)
        fits = [step for step in pairing.steps if isinstance(step, Fit)]
        reached = scores(fits, before, fitted, batches)
        now = agreement(reference, build(fitted), batches)
    kept = now.error < was.error
    if kept:
        put_in_place(after, fitted)
    layers = tuple(
        FittedLayer(
            name=fit.layer,
            kind=after.nodes[fit.goals[0].place].kind,
            stands_for=fit.stands_for,
            r2=reached[fit.layer].r2,
            seconds=seconds[fit.layer],
        )
        for fit in fits
    )
    elapsed = time.perf_counter() - start
    return Calibration(layers, pairing.left, was, now, kept, count(batches), elapsed)


def _fitted(
    pairing: Pairing, before: Graph, after: Graph, batches: Batches, passes: int, progress: bool
) -> tuple[Graph, dict[str, float]]:
    """The converted network with fitted layers, and the seconds that each took."""
    seconds = {}
    with _bar(len(pairing.steps), progress) as advance:
        for step in pairing.steps:
            start = time.perf_counter()
            if isinstance(step, Fit):
                after = fit_layer(step, before, after, batches, passes)
            else:
                after = match_norm(step, before, after, batches)
            seconds[step.layer] = time.perf_counter() - start
            advance()
    return after, seconds


@contextmanager
def _bar(steps: int, progress: bool) -> Iterator[Callable[[], None]]:
    """Keras' own bar, one step for each layer."""
    import keras

    if not progress:
        yield lambda: None
        return
    bar = keras.utils.Progbar(steps, unit_name="layer")
    yield lambda: bar.add(1)


def read_pair(original: Any, converted: Any) -> tuple[Graph, Graph]:
    """An original and its conversion, read.

    Raises:
        CalibrationError: They do not belong together.
        ModelError: The conversion is not in memory.
    """
    if not is_live(converted):
        raise ModelError(
            f"converted: expected a model in memory, whose weights can be changed, got "
            f"{type(converted).__name__}; open a file with keras.saving.load_model first"
        )
    before, after = read(original), read(converted)
    problem = _difference(before, after)
    if problem:
        raise CalibrationError(
            f"'{after.name}' is no conversion of '{before.name}': {problem}; give the model that "
            "it was converted from"
        )
    return before, after


def _difference(before: Graph, after: Graph) -> str:
    """What shows that two models do not belong together, "" where nothing does."""
    for what in ("inputs", "outputs"):
        of_both = [getattr(graph, what) for graph in (before, after)]
        if len(of_both[0]) != len(of_both[1]):
            return f"it has {len(of_both[1])} {what} where the original has {len(of_both[0])}"
    for old, new in zip(before.inputs, after.inputs, strict=True):
        if not _takes(new, old):
            return f"its input '{new.name}' is {new.shape} where the original's is {old.shape}"
    names = {spec.name for spec in before.specs() if spec.kind != "InputLayer"}
    if names.isdisjoint(spec.name for spec in after.specs()):
        return "none of its layers has the name of one of the original's"
    return ""


def _takes(new: Node, old: Node) -> bool:
    if new.shape is None or old.shape is None or len(new.shape) != len(old.shape):
        return False
    return all(a == b or None in (a, b) for a, b in zip(new.shape, old.shape, strict=True))


def _refuse_nothing(before: Graph, after: Graph, pairing: Pairing) -> None:
    """Raise an error where no layer stands for a max pool."""
    if any(isinstance(step, Fit) and step.stands_for for step in pairing.steps):
        return
    lines = [f"\n  {name}: {reason}" for name, reason in pairing.left.items()]
    why = ":" + "".join(lines) if lines else "; an exact conversion needs no fitting"
    raise CalibrationError(
        f"no layer of '{after.name}' can be fitted in the place of a max pool of "
        f"'{before.name}'{why}"
    )


def put_in_place(after: Graph, fitted: Graph) -> None:
    """Give the layers of a model in memory the weights that differ in another graph of it."""
    new = {spec.name: spec for spec in fitted.specs()}
    for spec in after.specs():
        if not spec.weights:
            continue
        other = new.get(spec.name) or new[spec.name.replace("/", "_")]  # as `build` names it
        if other is not spec:
            for variable, array in zip(spec.layer.weights, other.weights.values(), strict=True):
                variable.assign(array.read())
