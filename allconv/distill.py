"""Trains a converted network against the outputs of its original, without labels.

What least squares leaves is a matter of all layers at once, and that is what gradients are for. The
loss is the mean square of the differences between the two networks' outputs, before a final softmax
or sigmoid (Ba and Caruana 2014, arXiv 1312.6184). Both run as at inference: with dropout on, the
network would learn to be right with half of its values missing, and its original never was; a
BatchNormalization keeps its statistics, and its factors are trained.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from allconv.build import build
from allconv.calibrate import put_in_place, read_pair
from allconv.errors import CalibrationError, OptionError
from allconv.fitting.agreement import Agreement, agreement
from allconv.fitting.batches import Batches
from allconv.fitting.logit_graph import without_ends
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.verification.precision import inference

if TYPE_CHECKING:
    import keras

MEASURED = 1000
"""Images on which outputs are compared before and after."""
HELD_BACK = 0.1
"""The share of the images that early stopping looks at."""


@dataclass(frozen=True)
class Distillation:
    """What `distill` did.

    Attributes:
        losses: The mean square of the differences, epoch by epoch; of an earlier run that was
            resumed, the epochs that were left.
        held_back: The same on images that were held back, where some were.
        before: How far the outputs were from the original's, on the first 1,000 images.
        after: How far they are now.
        seconds: What all of it took.
    """

    losses: tuple[float, ...]
    held_back: tuple[float, ...]
    before: Agreement
    after: Agreement
    seconds: float

    def __str__(self) -> str:
        losses = ", ".join(f"{loss:.4g}" for loss in self.losses) or "none left to train"
        return (
            f"epochs: {losses} (mean square of the differences), {self.seconds:.1f} s\n"
            f"outputs before: {self.before}\noutputs after:  {self.after}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        return asdict(self)


def distill(
    original: keras.Model | str | os.PathLike[str] | ModelFile,
    converted: keras.Model,
    images: Any,
    *,
    epochs: int = 1,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Distillation:
    """Train a converted network to give what its original gives; no labels are used.

    Args:
        original: The network that was converted, in memory or a file.
        converted: The network to train, in memory. Its weights are changed when training is done;
            its compile settings are not used and stay.
        images: As for `calibrate`.
        epochs: How often the images are gone through.
        batch_size: Images in a step; of batches that are given, their own.
        learning_rate: Of Adam at the beginning; it falls to zero as half a cosine.
        patience: Stop early, with the best weights so far, after as many epochs without progress on
            every tenth image, which is then held back; needs arrays.
        checkpoint: A folder in which each epoch is kept until all are done. The same call goes on
            from there if the run was killed.
        progress: Show Keras' own progress bar.

    Returns:
        The losses, and how near the outputs are before and after.

    Raises:
        CalibrationError: The models do not belong together, or the loss is no number any more;
            the converted model is then as it was.
        OptionError: The images do not fit the original, or hold NaN.

    Example:
        >>> converted = allconv.convert(model, pooling="conv")
        >>> calibration = allconv.calibrate(model, converted, images[:100], progress=False)
        >>> distillation = allconv.distill(model, converted, images, epochs=2, progress=False)
        >>> len(distillation.losses)
        2
    """
    start = time.perf_counter()
    before, after = read_pair(original, converted)
    teacher, student = map(build, without_ends(before, after))
    batches = Batches(images, teacher, batch_size)
    sample = list(islice(batches, -(-MEASURED // batch_size)))
    with inference():
        was = agreement(teacher, student, sample)
    trainer = _trainer(teacher, student)
    trainer(_plain(sample[0]))  # makes its variables, which a checkpoint needs beforehand
    data = _data(batches, patience is not None)
    steps = sum(1 for _ in batches)
    trainer.compile(_optimizer(learning_rate, epochs * steps), jit_compile=False)
    history = trainer.fit(
        **data,
        epochs=epochs,
        callbacks=_callbacks(patience, checkpoint),
        verbose="auto" if progress else 0,
    ).history
    losses, held_back = (tuple(history.get(key, ())) for key in ("loss", "val_loss"))
    if not all(map(np.isfinite, losses)):
        raise CalibrationError(
            f"the loss is {losses[-1]} after {len(losses)} epochs, and the converted model is as "
            f"it was; try a smaller learning_rate than {learning_rate}"
        )
    with inference():
        now = agreement(teacher, student, sample)
    put_in_place(after, read(student))
    return Distillation(losses, held_back, was, now, time.perf_counter() - start)


def _trainer(teacher: Any, student: Any) -> Any:
    """A model whose result is the difference of both, and whose loss is its mean square."""
    import keras

    class Difference(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="difference")
            self.teacher = teacher
            self.student = student
            self.teacher.trainable = False

        def call(self, inputs: Any) -> list[Any]:
            wanted = keras.tree.flatten(self.teacher(inputs, training=False))
            found = keras.tree.flatten(self.student(inputs, training=False))
            pairs = zip(found, wanted, strict=True)
            return [a - keras.ops.reshape(b, keras.ops.shape(a)) for a, b in pairs]

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
        ) -> Any:
            squares = [keras.ops.mean(keras.ops.square(each)) for each in y_pred]
            return sum(squares[1:], squares[0])

    return Difference()


def _optimizer(learning_rate: float, steps: int) -> Any:
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, max(steps, 1))
    return keras.optimizers.Adam(schedule)


def _callbacks(patience: int | None, checkpoint: str | os.PathLike[str] | None) -> list[Any]:
    import keras

    callbacks = []
    if checkpoint is not None:
        callbacks.append(keras.callbacks.BackupAndRestore(os.fspath(checkpoint)))
    if patience is not None:
        stop = keras.callbacks.EarlyStopping("val_loss", patience=patience)
        stop.restore_best_weights = True
        callbacks.append(stop)
    return callbacks


def _data(batches: Batches, held_back: bool) -> dict[str, Any]:
    """What `fit` takes: arrays, which it shuffles, or batches in the order they are given."""
    if batches.is_whole():
        (arrays,) = batches.given()
        split = HELD_BACK if held_back else 0.0
        return {"x": _plain(arrays), "batch_size": batches.length, "validation_split": split}
    if held_back:
        raise OptionError(
            "patience needs images as arrays, of which some are held back; got "
            f"{type(batches.images).__name__}"
        )
    return {"x": _in_order(batches), "shuffle": False}


def _plain(arrays: list[np.ndarray]) -> Any:
    """Inputs as the networks take them."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def _in_order(batches: Batches) -> Any:
    """The batches as a PyDataset."""
    import keras

    class InOrder(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.length = sum(1 for _ in batches)
            self.rest: Iterator[list[np.ndarray]] = iter(())

        def __len__(self) -> int:
            return self.length

        def __getitem__(self, index: int) -> tuple[Any]:
            if index == 0:  # of each epoch, and where Keras looks at the first ones beforehand
                self.rest = iter(batches)
            return (_plain(next(self.rest)),)

    return InOrder()
