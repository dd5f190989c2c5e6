"""Networks whose channels come first are verified on every processor, TensorFlow's CPUs too.

There TensorFlow has convolutions of that kind only where oneDNN is on, and where XLA compiles them.
"""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.verification import compiled, logits
from allconv.verify import verify
from tests.helpers.randomized import kernels, randomize

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
needs_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="XLA is TensorFlow's way out")

FIRST = {"data_format": "channels_first"}
POOLS = {
    "max, same": lambda rank: getattr(layers, f"MaxPooling{rank}D")(3, 2, padding="same", **FIRST),
    "mean": lambda rank: getattr(layers, f"AveragePooling{rank}D")(2, **FIRST),
    "mean, same": lambda rank: getattr(layers, f"AveragePooling{rank}D")(2, 1, "same", **FIRST),
    "global mean": lambda rank: getattr(layers, f"GlobalAveragePooling{rank}D")(**FIRST),
}


def pooled(pool: keras.Layer, rank: int, *steps: keras.Layer) -> keras.Model:
    """A network that runs as it is: TensorFlow's pools are given their maps the other way round."""
    shape = (2, *(5,) * rank)
    model = keras.Sequential([keras.Input(shape), *steps, pool, layers.Flatten(), layers.Dense(3)])
    return randomize(model)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("pool", POOLS)
def test_what_pools_become_is_verified(pool: str, rank: int) -> None:
    model = pooled(POOLS[pool](rank), rank)
    verification = verify(model, allconv.convert(model, verify=True))
    assert verification, verification
    assert (compiled.NOTE in verification.reason) == ON_TENSORFLOW


@pytest.mark.parametrize("ending", ["sigmoid", "softmax"])
def test_a_convolution_is_compiled_with_its_ending_left_out(ending: str) -> None:
    conv = layers.Conv2D(4, 3, activation="sigmoid", **FIRST)
    model = pooled(layers.MaxPooling2D(2, **FIRST), 2, conv)
    chain = keras.Sequential([model, layers.Activation(ending)])
    chain.build(model.input_shape)
    assert verify(chain, allconv.convert(chain))


def test_one_per_cent_of_a_kernel_fails_there_too() -> None:
    model = pooled(layers.MaxPooling2D(2, **FIRST), 2, layers.Conv2D(4, 2, **FIRST))
    converted = allconv.convert(model)
    last = list(kernels(converted))[-1]
    last.assign(1.01 * last)
    assert verify(model, converted).passed is False


@needs_tensorflow
def test_what_xla_does_not_compile_is_not_run_and_why_is_told(monkeypatch) -> None:
    def by_xla(function):
        def refused(inputs):
            raise NotImplementedError("no kernel for it")

        return refused

    model = pooled(layers.MaxPooling2D(2, **FIRST), 2)
    converted = allconv.convert(model)
    monkeypatch.setattr(logits, "by_xla", by_xla)
    verification = verify(model, converted)
    assert verification.passed is None
    assert verification.reason == (
        "the converted model fails on these inputs: NotImplementedError: no kernel for it"
    )


@needs_tensorflow
def test_xla_is_asked_for_by_what_the_layers_are() -> None:
    for layer, needed in (
        (layers.Conv2D(1, 2, **FIRST), True),
        (layers.DepthwiseConv1D(2, **FIRST), True),
        (layers.Conv2DTranspose(1, 2, dilation_rate=2), True),
        (layers.Conv2DTranspose(1, 2, strides=2), False),
        (layers.Conv2D(1, 2, dilation_rate=2), False),
        (layers.MaxPooling2D(2, **FIRST), False),
        (layers.Flatten(**FIRST), False),
    ):
        shape = (4, 4) if "1D" in type(layer).__name__ else (4, 4, 4)
        inner = keras.Sequential([keras.Input(shape), layer])
        model = keras.Sequential([inner])
        assert compiled.needs_xla(compiled.layers_of(model)) == needed, layer
