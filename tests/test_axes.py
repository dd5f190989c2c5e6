"""Layers with an axis: along a vector or the channels they convert, along the batch never."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import ConversionError
from allconv.layers.axes import AXIS_OF, along_batch, axes_of
from tests.helpers.drawn_networks import random_networks
from tests.helpers.keras_comparison import assert_close, outputs
from tests.helpers.keras_versions import KERAS
from tests.helpers.one_answer import one_answer
from tests.helpers.randomized import randomize

BATCH = 3
ALONG_BATCH = "on which the images of a batch lie"


def images(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(BATCH, *shape)).astype("float32")


def assert_same(model, converted, given):
    for found, expected in zip(outputs(converted, given), outputs(model, given), strict=True):
        assert_close(found, expected)


def chain(*steps, shape=(4, 4, 2)):
    return randomize(keras.Sequential([keras.Input(batch_shape=(BATCH, *shape)), *steps]))


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("axis", [0, -2, (0, 1), [-1, -2]])
@pytest.mark.parametrize("kind", ["Softmax", "UnitNormalization", "LayerNormalization"])
def test_a_layer_over_the_batch_is_refused_by_name_wherever_it_stands(kind, axis, is_last):
    head = [layers.Dense(3), getattr(layers, kind)(axis=axis, name="over")]
    model = chain(layers.Flatten(), *head if is_last else head[::-1])
    said = f"'over' .{kind}.: it works along axis .*, {ALONG_BATCH}"
    with pytest.raises(ConversionError, match=said):
        allconv.convert(model)
    assert "over" in [obstacle.layer for obstacle in allconv.report(model).obstacles]


def test_a_layer_over_the_batch_of_a_map_is_refused_by_name():
    model = chain(layers.Conv2D(3, 3), layers.Softmax(axis=0, name="over"))
    with pytest.raises(ConversionError) as caught:
        allconv.convert(model)
    assert "  'over' (Softmax): it works along axis 0, on which the images of a batch lie" in str(
        caught.value
    )


@pytest.mark.parametrize("axis", [0, -2])
def test_a_batch_normalization_over_the_batch_is_not_folded(axis):
    norm = layers.BatchNormalization(axis=axis, name="over")
    model = chain(layers.Flatten(), norm, layers.Dense(3), shape=(1, 1, BATCH))
    with pytest.raises(ConversionError, match=ALONG_BATCH):
        allconv.convert(model)


@pytest.mark.parametrize("axis", [0, -2])
@pytest.mark.parametrize("head", [[], [layers.Dense]])
def test_vectors_laid_end_to_end_along_the_batch_are_refused_by_name(axis, head):
    image = keras.Input((3, 3, 2))
    sides = [layers.Flatten()(layers.Conv2D(2, size)(image)) for size in (2, 2)]
    joined = layers.Concatenate(axis=axis, name="over")(sides)
    for layer in head:
        joined = layer(3)(joined)
    model = keras.Model(image, joined)
    with pytest.raises(ConversionError, match=f"'over' .Concatenate.: it works along axis {axis}"):
        allconv.convert(model)


def test_axes_are_counted_from_the_batch():
    assert axes_of("Softmax", {"axis": -1}, 2) == (1,)
    assert axes_of("Softmax", {"axis": [-1, -2, 1]}, 2) == (0, 1)
    assert axes_of("Normalization", {"axis": None}, 4) == ()
    assert axes_of("Activation", {"activation": "softmax"}, 4) == (3,)
    assert axes_of("Activation", {"activation": "relu"}, 4) == ()
    assert along_batch("Activation", {"activation": "softmax"}, 1)


# axes of every kind


def drawn_axis(draw, axes):
    axis = st.integers(-axes, axes - 1)
    several = st.lists(axis, min_size=1, max_size=2, unique=True)
    if KERAS < (3, 14):  # the weights of a normalization lie in the order of the list, not sorted
        several = several.map(sorted)
    return draw(axis | several | st.sampled_from([-1, 1]))


def drawn_over(draw, kind, axes):
    """A layer of a kind with an axis, and with the numbers that it needs."""
    options = {"axis": drawn_axis(draw, axes), "name": "over"}
    if kind == "GroupNormalization":
        options["groups"] = 1
    if kind == "Normalization" and draw(st.booleans()):
        options |= draw(st.sampled_from([{"axis": None}, {"axis": -1}]))
        options |= {"mean": 0.5, "variance": 2.0}
    return getattr(layers, kind)(**options)


def drawn_head(draw, x, kind):
    """A layer with an axis on a map, or behind Flatten; then perhaps a Dense."""
    if draw(st.booleans()):
        x = layers.Flatten(data_format=draw(st.sampled_from(["channels_last", "channels_first"])))(
            x
        )
    if kind == "Concatenate":
        sides = [x, layers.ReLU()(x), x][: draw(st.integers(1, 3))]
        x = layers.Concatenate(axis=drawn_axis(draw, len(x.shape)), name="over")(sides)
    else:
        x = drawn_over(draw, kind, len(x.shape))(x)
    if draw(st.booleans()):
        x = layers.Dense(3)(layers.Flatten()(x) if draw(st.booleans()) else x)
    return x


def assert_refused_or_same(model, shape):
    """Whether a model converts, with the same numbers; else its layers are refused by name."""
    assert allconv.check(model).passed
    converted = one_answer(model)
    if isinstance(converted, ConversionError):
        return False
    given = images(shape)
    assert_same(model, converted, given)
    verification = allconv.verify(model, converted, given)
    assert verification.passed is not False, verification
    return True


@pytest.mark.parametrize("kind", sorted(AXIS_OF))
@random_networks(12)
@given(data=st.data())
def test_a_layer_along_any_axis_keeps_its_numbers_or_is_refused_by_name(kind, data):
    shape = data.draw(st.sampled_from([(1, 1, 3), (2, 2, 3), (3, 2, 2), (1, 3, 1)]))
    image = keras.Input(batch_shape=(data.draw(st.sampled_from([BATCH, BATCH, None])), *shape))
    try:
        model = keras.Model(image, drawn_head(data.draw, layers.Conv2D(3, 1)(image), kind))
        expected = outputs(randomize(model), images(shape))
    except Exception:
        assume(False)  # Keras does not take it either
    assume(all(np.isfinite(values).all() for values in expected))
    over = model.get_layer("over")
    listed = [over.axis] if isinstance(over.axis, int) else list(over.axis or ())
    along_the_batch = any(axis % len(over.output.shape) == 0 for axis in listed)
    assert not (assert_refused_or_same(model, shape) and along_the_batch)


# the end that verify leaves out


ENDS = {
    "vector": ((2, 2, 3), layers.Flatten, (-1, 1)),
    "map": ((4, 3, 2), layers.Identity, (-1, 3)),
}


def ended(shape, step, axis, **options):
    steps = [layers.Conv2D(shape[-1], 1, **options), step(), layers.Dense(5), layers.Softmax(axis)]
    return chain(*steps, shape=shape)


def saturate(model):
    for layer in model.layers[:-1]:
        if layer.get_weights():
            layer.set_weights([1e3 * weight for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize("end", ENDS)
def test_verify_leaves_out_a_softmax_over_the_classes_however_its_axis_is_written(end):
    shape, step, written = ENDS[end]
    model, copy = (saturate(ended(shape, step, axis)) for axis in written)
    kernel = copy.layers[-2].kernel
    given = images(shape)
    assert allconv.verify(model, copy, given).passed is True
    kernel.assign(kernel * (1 + 1e-3))  # the probabilities are 0 and 1 all the same
    assert allconv.verify(model, copy, given).passed is False


@pytest.mark.parametrize("end", ENDS)
def test_verify_compares_softmaxes_over_different_axes_as_they_are(end):
    shape, step, (axis, _) = ENDS[end]
    for other in range(len(step().compute_output_shape((BATCH, *shape)))):
        if (end == "vector" and other == 1) or other == 3:
            continue
        model, copy = ended(shape, step, axis), ended(shape, step, other)
        assert allconv.verify(model, copy, images(shape)).passed is False
        assert allconv.verify(copy, copy, images(shape)).passed is True


def test_verify_compares_softmaxes_over_other_numbers_of_values_as_they_are():
    shape = (2, 2, 3)
    last = [layers.Flatten(), layers.Softmax()]
    model, copy = (chain(layers.Conv2D(3, 1), *order, shape=shape) for order in (last, last[::-1]))
    assert allconv.verify(model, copy, images(shape)).passed is False
