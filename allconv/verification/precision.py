"""How exactly two models can be compared: rounding errors to expect, and how to keep them small.

The default tolerance stands between two measurements, made with He kernels and random statistics
on VGG16, ResNet50, InceptionV3, DenseNet121, Xception, MobileNetV2, MobileNetV3Small and
EfficientNetB0, and on small networks:

* the noise of rounding, float32 against float64 and eager against XLA, is at most 8e-7 of the
  spread, and 6e-6 for MobileNetV2: a quarter of its tolerance;
* one layer's kernel times 1.01 moves the output by at least 5.6e-3 (VGG16), 1.7e-3 (ResNet50),
  5e-4 (DenseNet121) and 1.1e-4 (squeeze-and-excite layers of EfficientNetB0): three times its
  tolerance, and more elsewhere. What a network itself scales down to nothing stays unseen, as
  the residual branches of a fresh ConvNeXt, which its LayerScale multiplies by 1e-6.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Any

HALF = ("float16", "bfloat16")
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
"""From one to the next number."""

_UNITS = {
    "float64": 32 * EPS["float64"],
    "float32": 32 * EPS["float32"],
    "float16": 4 * 2.0**-10,
    "bfloat16": 4 * 2.0**-7,
}


def default_tolerance(original: Any, converted: Any = None) -> float:
    """Work out the relative error of rounding: `unit * sqrt(layers) + eps * sqrt(terms)`.

    `layers` counts the layers with kernels of the original (of the converted model where the
    original is a plain function, and 50 where both are). The errors of single layers hardly depend
    on each other and add up like a random walk. `terms` is the number of products in the longest
    sum of a layer, 25,088 in VGG16: two orders of adding n numbers differ by a random walk of n
    steps (Higham and Mary 2019, doi 10.1137/18M1226312). `unit` belongs to the coarsest dtype of
    what these layers compute, and of what any other does, as a `keras.ops.mean` of a float32 input
    in a model of float64; eps is the distance from 1 to the next number:

    | compute dtype | unit   | with 16 layers |
    | ------------- | ------ | -------------- |
    | float64       | 32 eps | 2.8e-14        |
    | float32       | 32 eps | 1.5e-05        |
    | float16       |  4 eps | 1.6e-02        |
    | bfloat16      |  4 eps | 1.3e-01        |

    The 16-bit units have fewer eps because sums are kept in float32 and rounded once per layer.
    They are still too large to see one per cent of a kernel: hence `copies.in_float32`.
    """
    layers = list(_kernel_layers(original)) or list(_kernel_layers(converted))
    unit = _unit({*(layer.compute_dtype for layer in layers), *_computed(original)})
    eps = unit / 32 if unit <= _UNITS["float32"] else 0.0
    terms = max(map(_terms, layers), default=0)
    return unit * math.sqrt(len(layers) or 50) + eps * math.sqrt(terms)


def rounding(original: Any, converted: Any = None) -> float:
    """Return the distance from one to the next number, in the finest compute dtype of kernels."""
    layers = list(_kernel_layers(original)) or list(_kernel_layers(converted))
    dtypes = {layer.compute_dtype for layer in layers}
    return EPS["float64" if "float64" in dtypes else "float32"]


def _unit(dtypes: Set[str]) -> float:
    """Find the unit of the coarsest dtype."""
    return max((_UNITS.get(dtype, 0.0) for dtype in dtypes), default=0.0) or _UNITS["float32"]


def _computed(model: Any) -> Iterator[str]:
    """Yield the dtypes of all that a Keras model computes, layer by layer, in nested models too."""
    for operation in operations_of(model):
        yield getattr(operation, "compute_dtype", None) or ""
        calls = operation._inbound_nodes
        yield from (str(tensor.dtype) for call in calls for tensor in call.outputs)


def operations_of(model: Any) -> Iterator[Any]:
    """Yield the layers and operations of a Keras model that compute, those of nested models too."""
    operations = getattr(model, "operations", None) or getattr(model, "layers", None)
    for operation in operations or ():
        if hasattr(operation, "layers"):
            yield from operations_of(operation)
        elif type(operation).__name__ != "InputLayer":
            yield operation


def computes_in_half(model: Any) -> bool:
    """Tell whether a layer or an operation computes in float16 or bfloat16."""
    return any(dtype in HALF for dtype in _computed(model))


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 in all its bits, whatever computes.

    On recent GPUs the backends multiply float32 in TensorFloat-32 unless told otherwise: 10 bits of
    mantissa, an error far above what a comparison in float32 has to see.
    """
    import keras

    backend = keras.config.backend()
    if backend not in _IN_FULL:
        yield
        return
    with _IN_FULL[backend](importlib.import_module(backend)):
        yield


@contextmanager
def inference() -> Iterator[None]:
    """Run models in full precision and without gradients."""
    import keras

    with full_precision():
        if keras.config.backend() != "torch":
            yield
            return
        with importlib.import_module("torch").no_grad():
            yield


@contextmanager
def _tensorflow(tf: Any) -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@contextmanager
def _jax(jax: Any) -> Iterator[None]:
    with jax.default_matmul_precision("highest"):
        yield


@contextmanager
def _torch(torch: Any) -> Iterator[None]:
    """Set the precision of products and convolutions; `cudnn.flags` would turn cuDNN off."""
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32 = before[1]


_IN_FULL = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def _kernel_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a Keras model that own a kernel, those of nested models too."""
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers"):
            yield from _kernel_layers(layer)
        elif any(weight.name.endswith("kernel") for weight in layer.weights):
            yield layer


def _terms(layer: Any) -> int:
    """Count the products in one sum of a layer, for the largest of its kernels."""
    return max(
        _products(type(layer).__name__, weight)
        for weight in layer.weights
        if weight.name.endswith("kernel")
    )


def _products(class_name: str, kernel: Any) -> int:
    """Multiply the cells of a kernel by the channels that it sums over."""
    if class_name.startswith("Depthwise") or kernel.name == "depthwise_kernel":
        return math.prod(kernel.shape[:-2])
    if class_name.endswith("Transpose"):
        return math.prod((*kernel.shape[:-2], kernel.shape[-1]))
    return math.prod(kernel.shape[:-1])
