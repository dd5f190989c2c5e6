"""Arrays for a model, however they are given: one, several, or something that gives batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from allconv.errors import OptionError
from allconv.verification.logits import is_graph


def is_whole(given: Any, model: Any) -> bool:
    """Tell whether all samples are there as arrays, one for each input of a model.

    A list of arrays is one array for each input of a function, or of a model of several inputs; for
    a model of one input it is a list of batches.
    """
    if isinstance(given, Mapping) or hasattr(given, "__array__"):
        return True
    if not isinstance(given, (list, tuple)):
        return False
    several = not is_graph(model) or len(model.inputs) > 1
    return several and all(hasattr(array, "__array__") for array in given)


def batches_of(given: Any, what: str) -> Iterator[Any]:
    """Yield what the model takes, batch by batch; of pairs (inputs, labels) the inputs.

    Args:
        given: A list of batches, a `keras.utils.PyDataset`, a `tf.data.Dataset`, or anything else
            that is gone through.
        what: What messages call it.

    Raises:
        OptionError: It gives no batches, or never ends.
    """
    if isinstance(given, str) or not (isinstance(given, Iterable) or hasattr(given, "__getitem__")):
        raise OptionError(f"{what}: expected arrays, got {type(given).__name__}")
    if _is_endless(given):
        raise OptionError(
            f"{what}: the dataset repeats without end; limit it, for example by .take(10)"
        )
    for batch in _in_order(given):
        yield _arrays(batch[0] if isinstance(batch, tuple) else batch)


def joined(batches: Iterable[Any], what: str) -> Any:
    """Return the batches as arrays of all samples, in the structure that each of them has.

    Raises:
        OptionError: There are none, or they differ in their structure or in the samples' sizes.
    """
    import keras

    found = list(batches)
    if not found:
        raise OptionError(f"{what}: there are no batches; give some")
    try:
        return keras.tree.map_structure(_join, *found)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"{what}: the batches do not fit together ({error}); every batch needs the "
            "same inputs, with samples of one size"
        ) from error


def _join(*arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays)


def _is_endless(given: Any) -> bool:
    """Tell whether a `tf.data.Dataset` says that it repeats without end."""
    cardinality = getattr(given, "cardinality", None)
    return callable(cardinality) and int(cardinality()) == -1


def _in_order(given: Any) -> Iterator[Any]:
    """Go through a `PyDataset` up to its length, not to an IndexError, or through others."""
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        return (given[i] for i in range(len(given)))
    return iter(given)


def _arrays(batch: Any) -> Any:
    """Turn a batch into arrays of NumPy, in the same structure."""
    import keras

    return keras.tree.map_structure(keras.ops.convert_to_numpy, batch)
