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
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from typing import Any

from allconv.adapted import copy_untold
from allconv.freezing import exact_kernel
from allconv.layers.layer_shapes import is_adapted

HALF = ("float16", "bfloat16")
_SETTINGS = (
    ("kernel", "kernel_initializer"),
    ("kernel", "depthwise_initializer"),
    ("bias", "bias_initializer"),
)
_UNITS = {
    "float64": 32 * 2.0**-52,
    "float32": 32 * 2.0**-23,
    "float16": 4 * 2.0**-10,
    "bfloat16": 4 * 2.0**-7,
}


def default_tolerance(original: Any, converted: Any = None) -> float:
    """The relative error that rounding may cause: `unit * sqrt(layers) + eps * sqrt(terms)`.

    `layers` counts the layers with kernels of the original (of the converted model where the
    original is a plain function, and 50 where both are). The errors of single layers hardly depend
    on each other and add up like a random walk. `terms` is the number of products in the longest
    sum of a layer, 25,088 in VGG16: two orders of adding n numbers differ by a random walk of n
    steps (Higham and Mary 2019, doi 10.1137/18M1226312). `unit` belongs to the coarsest compute
    dtype of these layers; eps is the distance from 1 to the next number:

    | compute dtype | unit   | with 16 layers |
    | ------------- | ------ | -------------- |
    | float64       | 32 eps | 2.8e-14        |
    | float32       | 32 eps | 1.5e-05        |
    | float16       |  4 eps | 1.6e-02        |
    | bfloat16      |  4 eps | 1.3e-01        |

    The 16-bit units have fewer eps because sums are kept in float32 and rounded once per layer.
    They are still too large to see one per cent of a kernel: hence `in_float32`.
    """
    layers = list(_kernel_layers(original)) or list(_kernel_layers(converted))
    unit = _unit(layers)
    eps = unit / 32 if unit <= _UNITS["float32"] else 0.0
    terms = max(map(_terms, layers), default=0)
    return unit * math.sqrt(len(layers) or 50) + eps * math.sqrt(terms)


def rounding(original: Any, converted: Any = None) -> float:
    """From one to the next number, in the finest compute dtype of the layers with kernels."""
    layers = list(_kernel_layers(original)) or list(_kernel_layers(converted))
    dtypes = {layer.compute_dtype for layer in layers}
    return 2.0**-52 if "float64" in dtypes else 2.0**-23


def _unit(layers: Sequence[Any]) -> float:
    """The unit of the coarsest compute dtype."""
    units = [_UNITS.get(layer.compute_dtype, 0.0) for layer in layers]
    return max(units, default=0.0) or _UNITS["float32"]


def computes_in_half(model: Any) -> bool:
    """Whether a layer with a kernel computes in float16 or bfloat16."""
    return any(layer.compute_dtype in HALF for layer in _kernel_layers(model))


def in_float32(model: Any) -> Any:
    """A detached copy of a Keras model that computes in float32, with the same weights.

    With 8 or 11 bits to a number, errors of several per cent pass for rounding; in float32 they
    show. What the copy does not show is an overflow of float16, beyond 65504. Fixed kernels of
    frozen layers are exact in the copy: those that the configuration gives, 1/9 of an average pool,
    and those that are, to the number, the rounding of a mean, 1/27 of one in three axes.
    """
    copy = _made_of(model, _without_half(model.get_config()))
    _take_weights(copy, model, but=_said_in_configuration(copy))
    _make_means_exact(copy, model)
    return copy


def copied(model: Any) -> Any:
    """A detached copy of a Keras model, with the same weights."""
    copy = _made_of(model, model.get_config())
    _take_weights(copy, model)
    return copy


def _made_of(model: Any, config: Any) -> Any:
    """A model of the same class and the same classes of layers.

    Those of the user's own are told to Keras, and no others: operations are found by the same names
    as layers, `keras.ops.multiply` as Multiply, and what is told goes first.
    """
    import keras

    classes = [type(layer) for layer in model._flatten_layers(include_self=False)]
    own = {each.__name__: each for each in classes if not each.__module__.startswith("keras.")}
    with keras.saving.CustomObjectScope(own):
        return type(model).from_config(config)


def _said_in_configuration(model: Any) -> set[int]:
    """The frozen weights, by id, whose numbers stand in their layers' configuration."""
    import keras

    return {
        id(getattr(layer, name))
        for layer in model._flatten_layers()
        if not layer.trainable
        for name, setting in _SETTINGS
        if isinstance(getattr(layer, setting, None), keras.initializers.Constant)
        and getattr(layer, name, None) is not None
    }


def _is_rounded(said: Any, stored: Any) -> bool:
    """Whether the numbers of 16 bits are the roundings of what a configuration says."""
    from keras import ops

    return bool(ops.all(ops.equal(ops.cast(said, stored.dtype), stored)))


def _take_weights(copy: Any, model: Any, but: Set[int] = frozenset()) -> None:
    """Give a copy the weights of its model, but for those, by id, that it has already."""
    from keras import ops

    for variable, new in _pairs(model, copy):
        if id(new) not in but or not _is_rounded(new, variable):
            new.assign(ops.cast(variable, new.dtype))
    for layer, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        copy_untold(layer, new)


def _make_means_exact(copy: Any, model: Any) -> None:
    """Give a copy the means that its model has rounded to 16 bits, on the diagonal of a kernel."""
    for layer, new in zip(model._flatten_layers(), copy._flatten_layers(), strict=True):
        if layer.trainable or layer.variable_dtype not in HALF:
            continue
        exact = exact_kernel(layer)
        if exact is not None and not is_adapted(layer.get_config()):
            new.kernel.assign(exact)


def _pairs(model: Any, copy: Any) -> list[tuple[Any, Any]]:
    """The variables of a model and of its copy: by layer, name and shape, else in their order.

    Layers that were quantized, or given LoRA, after they were built have them in another order.
    """
    pairs = list(zip(_by_name(model), _by_name(copy), strict=True))
    alike = all((one.name, one.shape) == (other.name, other.shape) for one, other in pairs)
    return pairs if alike else list(zip(model.weights, copy.weights, strict=True))


def _by_name(model: Any) -> list[Any]:
    """The variables of a model, layer after layer, those of each by name and shape."""
    places = {
        id(variable): place  # of the innermost layer, which comes last
        for place, layer in enumerate(model._flatten_layers())
        for variable in layer.weights
    }
    return sorted(model.weights, key=lambda v: (places[id(v)], v.name, tuple(v.shape)))


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 in all its bits, whatever computes.

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
    """Full precision and no gradients while models run."""
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
    """Of products and of convolutions; `cudnn.flags` would turn cuDNN off besides."""
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
    """The layers of a Keras model that own a kernel, those of nested models too."""
    for layer in getattr(model, "layers", ()):
        if hasattr(layer, "layers"):
            yield from _kernel_layers(layer)
        elif any(weight.name.endswith("kernel") for weight in layer.weights):
            yield layer


def _terms(layer: Any) -> int:
    """The number of products in one sum of a layer, for the largest of its kernels."""
    return max(
        _products(type(layer).__name__, weight)
        for weight in layer.weights
        if weight.name.endswith("kernel")
    )


def _products(class_name: str, kernel: Any) -> int:
    """Cells of a kernel times the channels that it sums over."""
    if class_name.startswith("Depthwise") or kernel.name == "depthwise_kernel":
        return math.prod(kernel.shape[:-2])
    if class_name.endswith("Transpose"):
        return math.prod((*kernel.shape[:-2], kernel.shape[-1]))
    return math.prod(kernel.shape[:-1])


def _without_half(config: Any) -> Any:
    """A copy of a configuration with every 16-bit dtype and dtype policy replaced by float32."""
    if isinstance(config, dict):
        return {key: _without_half(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_without_half(value) for value in config)
    if isinstance(config, str) and config.removeprefix("mixed_") in HALF:
        return "float32"
    return config
