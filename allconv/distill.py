"""Trains a converted network against the outputs of its original, without labels.

What least squares leaves is a matter of all layers at once, and that is what gradients are for. The
loss of an output that ends in a softmax is how far the student's probabilities are from the
original's, both made softer (Hinton et al. 2015, arXiv 1503.02531), which weighs what matters for
the decision; of any other output it is the mean square of the differences (Ba and Caruana 2014,
arXiv 1312.6184). Both run as at inference: with dropout on, the network would learn to be right
with half of its values missing, and its original never was; a BatchNormalization keeps its
statistics, and its factors are trained.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allconv.building.build import build
from allconv.errors import CalibrationError
from allconv.fitting.agreement import Agreement, agreement
from allconv.fitting.batches import Batches
from allconv.fitting.distillation.logit_graph import without_ends
from allconv.fitting.distillation.matrix_products import as_products
from allconv.fitting.distillation.training import compile_trainer, trainer_of
from allconv.fitting.distillation.validation import Split, plain, split
from allconv.fitting.models import Verbose, put_in_place, read_pair
from allconv.read import read
from allconv.read.file import ModelFile
from allconv.result import Result
from allconv.verification.precision import inference

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Distillation(Result):
    """What `distill` did.

    Attributes:
        losses: Of the images that are trained on, epoch by epoch; of an earlier run that was
            resumed, the epochs that were left.
        val_losses: The loss of the images held back, before the first epoch and after each.
        before: How far the outputs were from the original's, on the images that are held back.
        after: How far they are with the trained weights.
        improved: Whether the loss of the images held back fell; only then does the model have the
            trained weights.
        seconds: What all of it took.
    """

    losses: tuple[float, ...]
    val_losses: tuple[float, ...]
    before: Agreement
    after: Agreement
    improved: bool
    seconds: float

    def __str__(self) -> str:
        losses = ", ".join(f"{loss:.4g}" for loss in self.losses) or "none left to train"
        lines = [
            f"losses of the epochs: {losses}; {self.seconds:.1f} s",
            f"outputs before: {self.before}",
            f"outputs after:  {self.after}",
        ]
        if not self.improved:
            lines.append(
                "The outputs were nearer before, so the model was left as it was; a smaller "
                "learning_rate, more epochs or more images may bring them nearer."
            )
        return "\n".join(lines)


def distill(
    original: keras.Model | str | os.PathLike[str] | ModelFile,
    converted: keras.Model,
    images: Any,
    *,
    epochs: int = 1,
    batch_size: int = 64,
    learning_rate: float = 3e-4,
    patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    verbose: Verbose = "auto",
) -> Distillation:
    """Train a converted network to give what its original gives; no labels are used.

    Args:
        original: The network that was converted, in memory or a file.
        converted: The network to train, in memory. Its weights are changed when training is done;
            its compile settings are not used and stay.
        images: As for `calibrate`. Of an array the last tenth, 1,000 at most, are held back and not
            trained on, of batches that are given the first one, if there are several.
        epochs: How often the images are gone through.
        batch_size: Images in a step; of batches that are given, their own.
        learning_rate: Of Adam at the beginning; it falls to zero as half a cosine. On few
            images, 1e-3 loses in the first epoch what was there before, above all where there is
            BatchNormalization; where many images are gone through, that is won back.
        patience: Stop early, with the best weights so far, after as many epochs without progress on
            the images that are held back.
        checkpoint: A folder in which each epoch is kept until all are done. The same call goes on
            from there if the run was killed.
        verbose: As of Keras' `fit`: 0 for silence, 1 for its bar, 2 for a line for each epoch.

    Returns:
        The losses, and how near the outputs are before and after.

    Raises:
        CalibrationError: The models do not belong together, or the loss is no number any more;
            the converted model is then as it was.
        OptionError: The images do not fit the original, or hold NaN.

    Example:
        >>> converted = allconv.convert(model, pooling="conv")
        >>> calibration = allconv.calibrate(model, converted, images[:100], verbose=0)
        >>> distillation = allconv.distill(model, converted, images, epochs=2, verbose=0)
        >>> len(distillation.losses)
        2
    """
    start = time.perf_counter()
    before, after = read_pair(original, converted)
    *networks, ends = without_ends(before, after)
    teacher, student = map(build, networks)
    as_products(student)
    parts = split(Batches(images, teacher, batch_size))
    with inference():
        was = agreement(teacher, student, parts.measured())
    trainer = trainer_of(teacher, student, ends)
    trainer(plain(next(parts.measured())))  # makes its variables, which a checkpoint needs
    compile_trainer(trainer, learning_rate, epochs * parts.steps)
    loss_was = _loss_of_held(trainer, parts)
    callbacks = _callbacks(patience, checkpoint)
    losses, val_losses = _fit(trainer, parts, epochs, callbacks, verbose)
    if not all(map(np.isfinite, losses)):
        raise CalibrationError(
            f"the loss is {losses[-1]} after {len(losses)} epochs, and the converted model is as "
            f"it was; try a smaller learning_rate than {learning_rate}"
        )
    with inference():
        now = agreement(teacher, student, parts.measured())
    improved = _loss_of_held(trainer, parts) < loss_was
    if improved:
        put_in_place(after, read(student))
    seconds = time.perf_counter() - start
    return Distillation(losses, (loss_was, *val_losses), was, now, improved, seconds)


def _loss_of_held(trainer: Any, parts: Split) -> float:
    return float(trainer.evaluate(plain(parts.held), batch_size=parts.length, verbose=0))


def _fit(
    trainer: Any, parts: Split, epochs: int, callbacks: list[Any], verbose: Verbose
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Run Keras' own `fit`; return the losses epoch by epoch, and those of the images held back."""
    history = trainer.fit(
        **parts.data,
        epochs=epochs,
        validation_data=(plain(parts.held),),
        validation_batch_size=parts.length,
        callbacks=callbacks,
        verbose=verbose,
    ).history
    return tuple(history.get("loss", ())), tuple(history.get("val_loss", ()))


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
