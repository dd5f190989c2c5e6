"""What stands in the way: all of it in one error, and what `strict=False` makes of the rest."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import allconv
from allconv.errors import ConversionError
from tests.helpers.keras_comparison import assert_close, converts_alike, kinds_of
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import chain


class Twice(layers.Layer):
    """A layer of the user's own."""

    def call(self, x):
        return 2 * x


def named(layer_class, *args, **settings):
    """A layer called `odd`."""
    return layer_class(*args, name="odd", **settings)


def obstacles_of(model, **options):
    """The lines of the one error that a conversion ends in, without its first and last."""
    with pytest.raises(ConversionError) as error:
        allconv.convert(model, **options)
    first, *lines, last = str(error.value).splitlines()
    name = model.name
    assert first == (
        f"model '{name}' does not become all-convolutional; these layers stand in the way:"
    )
    *remedies, last = last.split("; ")
    assert last == "strict=False leaves them as they are"
    return [line.strip() for line in (*lines, *remedies)]


CODE = "it runs your own code, which allconv does not look into"
OTHER = "it is not a convolution and does not work cell by cell"
NO_LAYER = (
    "no layer of Keras does the same, and no rule is known for it; write it as layers, or give a "
    "rule with rules=[...]"
)
UNKNOWN = "no rule is known for it; give one with rules=[...]"


@pytest.mark.parametrize(
    ("layer", "kind", "reason"),
    [
        (named(layers.Lambda, lambda x: x + 1), "Lambda", CODE),
        (named(Twice), "tests.test_obstacles>Twice", UNKNOWN),
        (named(layers.GroupNormalization, 2), "GroupNormalization", OTHER),
        (named(layers.SpectralNormalization, layers.Conv2D(2, 1)), "SpectralNormalization", OTHER),
        (named(layers.TimeDistributed, layers.Conv1D(4, 3)), "TimeDistributed", OTHER),
        (named(layers.Permute, (2, 1, 3)), "Permute", "it moves the axes of a map of more than"),
        (named(layers.Softmax, axis=1), "Softmax", "it works along axis 1, not along the channels"),
        pytest.param(
            named(layers.LayerNormalization, axis=[1, 2]),
            "LayerNormalization",
            "it works along axis",
            marks=pytest.mark.skipif(
                keras.backend.backend() == "torch", reason="Keras fails to call it on PyTorch"
            ),
        ),
        (
            named(layers.Conv2D, 4, 1, activation=lambda x: x),
            "Conv2D",
            "its activation 'lambda' is not one of keras.activations",
        ),
    ],
)
def test_a_layer_that_no_convolution_stands_for_is_named_with_its_reason(layer, kind, reason):
    steps = [layers.Conv2D(4, 3), layer, layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)]
    model = randomize(chain((8, 8, 2), *steps))
    [line] = obstacles_of(model)
    assert line.startswith(f"'odd' ({kind}): {reason}")
    converted = converts_alike(model, strict=False)
    assert not {"MaxPooling2D", "Dense"} & set(kinds_of(converted))
    assert type(converted.get_layer("odd")) is type(layer)


@pytest.mark.parametrize("recurrent", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_networks_are_refused_and_their_convolutional_part_still_converts(recurrent):
    steps = [layers.Conv1D(4, 3), layers.MaxPooling1D(2), recurrent(5, name="rnn")]
    model = randomize(chain((12, 2), *steps, layers.Dense(3, name="dense")))
    kind = recurrent.__name__
    assert obstacles_of(model) == [
        f"'rnn' ({kind}): {OTHER}; so 'dense' stays, too",
    ]
    assert "MaxPooling1D" not in kinds_of(converts_alike(model, strict=False))


def test_attention_is_refused():
    image = keras.Input((4, 4, 2))
    rows = layers.Reshape((16, 2), name="rows")(layers.ReLU()(image))
    x = layers.MultiHeadAttention(2, 3, name="attention")(rows, rows)
    model = randomize(keras.Model(image, x))
    line = f"'attention' (MultiHeadAttention): {OTHER}; so 'rows' stays, too"
    assert obstacles_of(model) == [line]
    converts_alike(model, strict=False)


def test_all_obstacles_are_listed_by_cause_in_the_order_of_the_model():
    shared = layers.Lambda(lambda x: 2 * x, name="shared")
    steps = [
        shared,
        layers.GroupNormalization(2, name="groups"),
        shared,
        layers.MaxPooling2D(2, name="pool"),
        layers.Flatten(name="flatten"),
        layers.Lambda(lambda x: x + 1, name="between"),
        layers.Dense(3, name="dense"),
    ]
    assert obstacles_of(chain((8, 8, 2), *steps)) == [
        f"'shared' (Lambda): {CODE}; likewise 'between'; so 'flatten' and 'dense' stay, too",
        f"'groups' (GroupNormalization): {OTHER}",
    ]


def test_free_sizes_stand_in_the_way_of_what_depends_on_them():
    steps = [
        layers.GlobalMaxPooling2D(name="all"),
        layers.Dense(3, name="dense"),
    ]
    tensor = "(None, None, None, 2)"
    assert obstacles_of(chain((None, None, 2), *steps)) == [
        "'all' (GlobalMaxPooling2D): a maximum over the whole map needs a fixed size, got "
        f"{tensor}; so 'dense' stays, too",
        "input_size=(224, 224) gives the images a size",
    ]


def test_a_head_that_was_to_be_kept_stands_in_the_way():
    steps = [layers.MaxPooling2D(2, name="pool"), layers.Flatten(name="flatten")]
    steps.append(layers.Dense(3, name="dense"))
    lines = obstacles_of(chain((8, 8, 2), *steps), head="keep")
    assert lines == ["'dense' (Dense): no rule was tried on it; so 'flatten' stays, too"]


def test_an_operation_that_no_rule_knows_is_named():
    image = keras.Input((8, 8, 2))
    model = keras.Model(image, ops.cumsum(image, axis=1))
    assert obstacles_of(model) == [f"'cumsum' (ops.Cumsum): {NO_LAYER}"]
    converts_alike(model, strict=False)


def with_a_mask_from_above():
    signal = keras.Input((6, 2))
    x = layers.GlobalAveragePooling1D(name="mean")(layers.Masking()(signal))
    return keras.Model(signal, layers.Dense(2)(x))


def with_a_mask_given():
    signal = keras.Input((6, 2))
    mask = ops.any(ops.not_equal(signal, 0.0), axis=-1)
    x = layers.GlobalAveragePooling1D(name="mean")(signal, mask=mask)
    return keras.Model(signal, layers.Dense(2)(x))


@pytest.mark.parametrize("build", [with_a_mask_from_above, with_a_mask_given])
def test_a_mean_that_leaves_masked_cells_out_stays(build):
    model = randomize(build())
    line = "'mean' (GlobalAveragePooling1D): a mask leaves cells out of its mean"
    assert any(each.startswith(line) for each in obstacles_of(model))
    signals = np.random.default_rng(0).normal(size=(2, 6, 2)).astype("float32")
    signals[0, 2:] = 0
    converted = allconv.convert(model, strict=False)
    assert_close(*(keras.ops.convert_to_numpy(m(signals)) for m in (converted, model)))


def test_a_layer_of_ones_own_with_several_results_is_left_with_strict_false():
    class Halves(layers.Layer):
        def call(self, x):
            return x[..., :1], x[..., 1:]

    image = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D(2)(layers.Subtract()(Halves()(image)))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))
    converted = converts_alike(randomize(model), strict=False)
    assert "MaxPooling2D" not in kinds_of(converted)


def test_a_class_of_ones_own_with_the_name_of_one_of_keras_is_not_taken_for_it():
    @keras.saving.register_keras_serializable("mine")
    class MaxPooling2D(layers.MaxPooling2D):
        def call(self, x):
            return -super().call(x)

    model = chain((8, 8, 2), MaxPooling2D(2, name="pool"))
    assert obstacles_of(model) == [f"'pool' (mine>MaxPooling2D): {UNKNOWN}"]
    converts_alike(model, strict=False)


def test_a_nested_model_with_code_of_its_own_is_left_as_a_layer():
    class Inner(keras.Model):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.conv = layers.Conv2D(3, 3)

        def call(self, x):
            return self.conv(x)

    model = randomize(chain((8, 8, 2), Inner(name="inner"), layers.MaxPooling2D(2)))
    assert obstacles_of(model) == [f"'inner' (tests.test_obstacles>Inner): {UNKNOWN}"]
    converts_alike(model, strict=False)


def test_what_stands_in_the_way_has_the_name_and_class_that_it_has_in_the_model():
    grid = keras.Input((10, 20))
    x = layers.Reshape((8, 5), name="fold")(
        layers.Dense(40)(layers.Reshape((200,), name="unfold")(grid))
    )
    model = keras.Model(grid, layers.Dense(2)(layers.Flatten()(layers.Conv1D(4, 3)(x))))
    assert obstacles_of(model, input_size="any") == [
        "'fold' (Reshape): it makes a map of one size, (None, 8, 5), whatever the size of the "
        "input; so 'unfold' stays, too",
    ]
