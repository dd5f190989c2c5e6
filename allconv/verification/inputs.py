"""The inputs that two models are compared on: drawn from a seed, or the caller's, checked.

Networks are fed what they expect, as far as their graph tells: integers where an input holds
integers, no larger than an Embedding takes; values from 0 to 255 where the first layer scales or
normalizes images, normal values elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from allconv.errors import OptionError
from allconv.verification.vocabulary import vocabulary

DRAWN = 4
USUAL_SIZE = 32
"""Cells along an axis of unknown size, where they fit; `verification.sizes` finds what does."""
MOST_VALUES = 1 << 29
"""Values of a map that is still made to compare two models: 2 GB."""


def draw_inputs(model: Any, seed: int, other: Any = None) -> list[np.ndarray]:
    """Draw inputs for a built Functional or Sequential model, one array per input.

    They hold four samples, or whole batches of the size that the model insists on.

    Args:
        model: The model.
        seed: What the inputs depend on.
        other: Something whose inputs have the sizes that `model` leaves open; those that it leaves
            open too are 32.
    """
    rng = np.random.default_rng(seed)
    full = [tuple(n or USUAL_SIZE for n in shape[1:]) for shape in known_sizes(model, other)]
    return [_draw(model, *pair, rng) for pair in zip(model.inputs, full, strict=True)]


def known_sizes(model: Any, other: Any) -> list[tuple[int | None, ...]]:
    """Return the shapes of a model's inputs, with another's sizes where they are open."""
    own = [tensor.shape for tensor in model.inputs]
    others = [tensor.shape for tensor in getattr(other, "inputs", None) or ()]
    pairs = zip(own, others if len(others) == len(own) else own, strict=True)
    return [_known_sizes(*pair) for pair in pairs]


def vast_map(model: Any) -> str:
    """Name the map that makes a model too large to be run on drawn inputs; "" for none."""
    maps = [(tensor.name, tensor) for tensor in model.inputs]
    for operation in getattr(model, "operations", None) or model.layers:
        for node in operation._inbound_nodes:
            maps += [(operation.name, tensor) for tensor in node.output_tensors]
    for name, tensor in maps:
        values = DRAWN * math.prod(size or USUAL_SIZE for size in tensor.shape[1:])
        if values > MOST_VALUES:
            return f"'{name}' gives {values:,} values for {DRAWN} inputs"
    return ""


def _known_sizes(shape: Any, other: Any) -> tuple[int | None, ...]:
    if len(shape) != len(other):
        return tuple(shape)
    return tuple(a or b for a, b in zip(shape, other, strict=True))


def batch_size(model: Any) -> int | None:
    """Return the number of samples that a model insists on, or None where it takes any."""
    sizes = [tensor.shape[0] for tensor in getattr(model, "inputs", None) or ()]
    return next((size for size in sizes if size is not None), None)


def _draw(model: Any, tensor: Any, sizes: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    batch = tensor.shape[0] or DRAWN
    shape = (batch * -(-DRAWN // batch), *sizes)
    if tensor.dtype == "bool":
        return rng.random(shape) < 0.5
    count = vocabulary(model, tensor)
    if count is not None:
        return rng.integers(0, count, shape).astype(tensor.dtype)
    if "int" in tensor.dtype:
        high = min(int(np.iinfo(tensor.dtype).max), 255)
        return rng.integers(0, high, shape, dtype=tensor.dtype, endpoint=True)
    if _takes_pixels(model, tensor):
        return rng.uniform(0, 255, shape).astype("float32")
    return rng.standard_normal(shape, dtype="float32")


def _takes_pixels(model: Any, tensor: Any) -> bool:
    """Tell whether a layer that scales or normalizes images is the first to see `tensor`."""
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for position, source in enumerate(node.input_tensors):
                if source is not tensor:
                    continue
                if type(layer).__name__ in ("Rescaling", "Normalization"):
                    return True
                if hasattr(layer, "layers") and _takes_pixels(layer, layer.inputs[position]):
                    return True
    return False


def samples_of(inputs: Any) -> int:
    """Count the samples in an array, or in a list or dictionary of arrays that agree on it.

    Raises:
        OptionError: The arrays hold different numbers of samples, or one is no array of numbers.
    """
    arrays = [np.asarray(array) for array in _flat(inputs)]
    for array in arrays:
        if array.ndim == 0 or array.dtype.kind == "O":
            raise OptionError(
                "inputs: expected an array of numbers whose first axis counts the samples, or a "
                f"list or dictionary of such arrays, got {type(inputs).__name__}"
            )
    counts = sorted({len(array) for array in arrays})
    if len(counts) > 1:
        raise OptionError(
            f"inputs: the arrays hold {' and '.join(map(str, counts))} samples; "
            "every input of a model needs the same number"
        )
    return counts[0] if counts else 0


def arrange(inputs: Any, model: Any, role: str) -> list[np.ndarray]:
    """Put the caller's arrays into the order of `model.inputs` and check their shapes.

    Args:
        inputs: One array, a list of arrays, or a dictionary of arrays by the inputs' names.
        model: A built Functional or Sequential model.
        role: What messages call the model: `"original"` or `"converted"`.

    Raises:
        OptionError: A missing or an unknown name, a wrong number of arrays, a shape that does not
            fit, samples that are no multiple of the model's batch size, or what `samples_of` finds.
    """
    names = [tensor.name for tensor in model.inputs]
    if isinstance(inputs, Mapping):
        if set(inputs) != set(names):
            raise OptionError(
                f"inputs: got {_listed(inputs)}, but the {role} model's inputs are {_listed(names)}"
            )
        inputs = [inputs[name] for name in names]
    samples_of(inputs)
    arrays = [np.asarray(array) for array in _flat(inputs)]
    if len(arrays) != len(names):
        raise OptionError(
            f"inputs: got {len(arrays)} arrays, but the {role} model has {len(names)} inputs: "
            f"{_listed(names)}"
        )
    for array, tensor in zip(arrays, model.inputs, strict=True):
        if not _fits(array.shape, tuple(tensor.shape)):
            raise OptionError(
                f"inputs: shape {array.shape} does not fit input '{tensor.name}' of the {role} "
                f"model, which expects {tuple(tensor.shape)}"
            )
    return arrays


def slices(inputs: Any, length: int) -> Iterator[Any]:
    """Cut an array, or each array of a list or dictionary, into batches of `length` or fewer."""
    for start in range(0, samples_of(inputs), length):
        part = slice(start, start + length)
        if isinstance(inputs, Mapping):
            yield {name: array[part] for name, array in inputs.items()}
        elif isinstance(inputs, list | tuple):
            yield [array[part] for array in inputs]
        else:
            yield inputs[part]


def _flat(inputs: Any) -> Sequence[Any]:
    if isinstance(inputs, Mapping):
        return list(inputs.values())
    return inputs if isinstance(inputs, list | tuple) else [inputs]


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    if len(shape) != len(expected) or shape[0] % (expected[0] or 1):
        return False
    return all(wanted in (None, size) for size, wanted in zip(shape[1:], expected[1:], strict=True))


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
