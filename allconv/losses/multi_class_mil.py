"""Learning class maps from the classes of whole images: multi-class multiple instance learning."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Literal

import keras
from keras import ops

from allconv.errors import OptionError, ShapeError
from allconv.layers.indexing import is_number
from allconv.losses.over_cells import log_of_largest, log_of_others, log_of_smooth_largest


@keras.saving.register_keras_serializable(package="allconv")
class MultiClassMIL(keras.losses.Loss):  # type: ignore[misc] # Keras ships no types
    """Compare class maps with the classes that are somewhere in each image.

    No cell has a label. Of each class that an image has, the loss looks for the cell that is most
    likely to show it (Pathak et al. 2014, arXiv 1412.7144):

        loss = -mean over the image's classes of log(largest probability of the class in a cell)
             + absent * mean over the other classes of -log(1 - largest probability)

    The paper has the first term only (`absent=0`, the default), by which one cell for each present
    class learns. With `pooling="lse"` all cells do: in the place of the largest probability is a
    smooth maximum, log(mean(exp(r p))) / r of the probabilities p in all cells, where r is the
    `sharpness`. It lies between their mean (r near 0) and the largest of them (r large).
    Pinheiro and Collobert (2015, arXiv 1411.6228) pool a network's scores in this way; here it is
    probabilities, whose scale is the same in every network.

    `y_pred` are maps of logits, with no softmax, `(batch, *sizes, classes)`. `y_true` has a vector
    of ones and zeros for each image, `(batch, classes)`. The background is not in this vector: it
    is class 0 of the maps and in every image, so the first number of the vector is about class 1
    of the maps. With `background=False` maps have the vector's classes, and an image of none of
    them has no first term.

    The loss is computed in float32, or in float64 if that is its `dtype`, in networks of 16 bits,
    too. `sample_weight` has one number for each image.

    Keras loads a model that was compiled with this loss after `import allconv.losses`, which
    registers it; `import allconv` is not enough, since it does not import Keras. With
    `keras.saving.load_model(path, compile=False)` no allconv is needed.

    Args:
        pooling: `"max"` for the cell where a class is most likely, `"lse"` for the smooth maximum.
        sharpness: Of the smooth maximum; `pooling="max"` does not use it.
        absent: Weight of the term for the classes that an image does not have.
        background: Whether class 0 of the map is the background.
        axis: The axis of the classes in the maps, 1 for `data_format="channels_first"`.
        reduction: As of Keras' losses.
        name: As of Keras' losses.
        dtype: As of Keras' losses.

    Raises:
        OptionError: An unknown pooling, a sharpness that is not positive, a negative weight, ...
        ShapeError: When called, on maps and vectors that do not fit together.

    Example:
        >>> import numpy as np
        >>> loss = allconv.losses.MultiClassMIL()
        >>> maps = np.zeros((1, 6, 6, 4))  # logits of the background and of three classes
        >>> labels = np.array([[1, 0, 0]])  # the image shows the first of them
        >>> round(float(loss(labels, maps)), 3)  # log(4), since all probabilities are 1/4
        1.386
    """

    def __init__(
        self,
        pooling: Literal["max", "lse"] = "max",
        sharpness: float = 5.0,
        absent: float = 0.0,
        background: bool = True,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str = "multi_class_mil",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if pooling not in ("max", "lse"):
            raise OptionError(f"pooling is {pooling!r}; expected 'max' or 'lse'")
        if not isinstance(background, bool):
            raise OptionError(
                f"background is {background!r}; expected True, where class 0 of the maps is the"
                " background, or False, where they have none"
            )
        if not is_number(axis) or axis == 0:
            raise OptionError(f"axis is {axis!r}; expected -1, or 1 for channels first")
        self.pooling = pooling
        self.sharpness = _number(sharpness, "sharpness", "above 0")
        self.absent = _number(absent, "absent", "of 0 or more")
        self.background = background
        self.axis = int(axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each image, `(batch,)`."""
        self._check_shapes(tuple(y_true.shape), tuple(y_pred.shape))
        dtype = "float64" if self.dtype == "float64" else "float32"
        log_p = ops.log_softmax(_as_cells(ops.cast(y_pred, dtype), self.axis), axis=-1)
        present = ops.cast(y_true, dtype)
        if self.background:
            present = ops.concatenate([ops.ones_like(present[:, :1]), present], axis=1)
        loss = -_mean(self._pooled(log_p), present)
        if self.absent:
            without = ops.min(log_of_others(log_p), axis=1)  # least where p is largest
            loss -= self.absent * _mean(without, 1 - present)
        return loss

    def _pooled(self, log_p: Any) -> Any:
        if self.pooling == "max":
            return log_of_largest(log_p)
        return log_of_smooth_largest(log_p, self.sharpness)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        return {
            **super().get_config(),
            "pooling": self.pooling,
            "sharpness": self.sharpness,
            "absent": self.absent,
            "background": self.background,
            "axis": self.axis,
            "dtype": self.dtype,
        }

    def _check_shapes(self, labels: tuple[Any, ...], maps: tuple[Any, ...]) -> None:
        """Refuse what does not fit, as far as the shapes are known."""
        if len(maps) < 3 or not -len(maps) < self.axis < len(maps):
            raise ShapeError(
                f"y_pred is {maps}; expected class maps of logits, (batch, *sizes, classes), with"
                f" the classes along axis {self.axis}"
            )
        classes = maps[self.axis]
        if classes is None or classes < 2:
            raise ShapeError(
                f"y_pred is {maps}, with {classes} classes along axis {self.axis}; expected 2 or"
                " more: of one class alone, every cell has the probability 1"
            )
        wanted = classes - self.background
        if len(labels) != 2 or labels[1] not in (wanted, None):
            raise ShapeError(f"y_true is {labels}; {self._wanted(labels, classes)}")
        if None not in (labels[0], maps[0]) and labels[0] != maps[0]:
            raise ShapeError(f"y_true is of {labels[0]} images, y_pred of {maps[0]}")

    def _wanted(self, labels: tuple[Any, ...], classes: int) -> str:
        """Say which vectors go with maps of so many classes."""
        text = f"for maps of {classes} classes it is (batch, {classes - self.background})"
        if not self.background:
            return f"{text}, a one for each class that an image has"
        text += ", a one for each class that an image has, without the background, class 0 of maps"
        if len(labels) == 2 and labels[1] == classes:
            text += "; leave out its first column, or say background=False if the maps have none"
        return text


def _is_real(given: object) -> bool:
    return isinstance(given, Real) and not isinstance(given, bool)


def _number(given: Any, name: str, wanted: str) -> float:
    """Check a number that is to be above 0, or of 0 or more."""
    number = float(given) if _is_real(given) else math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and wanted == "above 0"):
        raise OptionError(f"{name} is {given!r}; expected a number {wanted}")
    return number


def _as_cells(maps: Any, axis: int) -> Any:
    """Lay maps out as `(batch, cells, classes)`."""
    maps = ops.moveaxis(maps, axis, -1)
    return ops.reshape(maps, (ops.shape(maps)[0], -1, maps.shape[-1]))


def _mean(values: Any, chosen: Any) -> Any:
    """Take the mean over the classes that are chosen, by ones; 0 where none is."""
    number = ops.sum(chosen, axis=-1)
    return ops.sum(chosen * values, axis=-1) / ops.where(number == 0, 1, number)
