"""What stands in the way of a finer class map: each layer named, all in one error."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.errors import ConversionError, OptionError
from tests.helpers.dense_networks import assert_is_what_the_model_says_of_every_crop, classifier
from tests.helpers.keras_comparison import network


def with_gate():
    image = keras.Input((16, 16, 2))
    x = layers.Conv2D(3, 3, strides=2, name="conv")(image)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(x)
    x = layers.Multiply(name="gated")([x, layers.Conv2D(3, 1, activation="sigmoid")(gate)])
    return keras.Model(image, layers.GlobalMaxPooling2D(name="largest")(x), name="gated_network")


def with_up_sampling():
    return network(
        (16, 16, 2),
        layers.Conv2D(3, 3, strides=2),
        layers.UpSampling2D(2, name="up"),
        layers.Conv2DTranspose(3, 2, strides=2, name="transposed"),
        layers.Conv2D(2, 1, strides=4),
    )


def with_slopes():
    return network(
        (16, 16, 2),
        layers.Conv2D(3, 3, strides=2),
        layers.PReLU(name="slopes"),
        layers.Conv2D(2, 7),
    )


def with_another_stride():
    image = keras.Input((16, 16, 2))
    fine = layers.Conv2D(3, 15, name="fine")(image)
    coarse = layers.Conv2D(3, 2, strides=14, name="coarse")(image)
    return keras.Model(image, layers.Add(name="sum")([fine, coarse]), name="uneven")


COARSENED = (
    "it makes its map finer, and no layer puts the cells of moved images between those that it "
    "makes; convert the part of the model before it"
)

REFUSED = {
    "a gate": (
        with_gate,
        {},
        [
            "'gated' (Multiply): it fits one size of the image only: inputs (None, 8, 8, 3) and "
            "(None, 2, 2, 3) do not broadcast together; 'mean' (GlobalAveragePooling2D) looks at "
            "the whole map"
        ],
    ),
    "maps made finer": (
        with_up_sampling,
        {},
        [f"'up' (UpSampling2D): {COARSENED}", f"'transposed' (Conv2DTranspose): {COARSENED}"],
    ),
    "kept pools": (
        classifier,
        {"pooling": "keep"},
        [
            "'mean' (GlobalAveragePooling2D): its window needs a dilation of 4x4, and Keras has no "
            "dilated pool; leave pooling='keep' out"
        ],
    ),
    "values for every cell": (
        with_slopes,
        {},
        ["'slopes' (PReLU): it fits one size of the image only: its alpha has"],
    ),
    "branches of other strides": (
        with_another_stride,
        {},
        ["'sum' (Add): its inputs do not meet cell by cell, they have strides 1x1 and 14x14"],
    ),
    "a recurrent layer": (
        lambda: network((16, 2), layers.Conv1D(3, 3, strides=2), layers.LSTM(4, name="lstm")),
        {},
        ["'lstm' (LSTM): it is not a convolution and does not work cell by cell"],
    ),
    "maps side by side": (
        lambda: side_by_side(),
        {},
        ["'joined' (Concatenate): it fits one size of the image only: it joins maps along axis 1"],
    ),
}


def side_by_side():
    image = keras.Input((16, 16, 2))
    x = layers.Conv2D(3, 3, strides=2)(image)
    x = layers.Concatenate(axis=1, name="joined")([x, layers.ReLU()(x)])
    return keras.Model(image, layers.Conv2D(2, 3)(x))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("function", [allconv.convert, allconv.report])
def test_layers_that_stand_in_the_way_are_named_in_one_error(name, function):
    build, options, told = REFUSED[name]
    model = build()
    with pytest.raises(ConversionError) as error:
        function(model, input_size="any", output_stride=1, **options)
    text = str(error.value)
    assert text.startswith(
        f"model '{model.name}' gives no map with output_stride=1; these layers stand in the way:"
    )
    for words in told:
        assert words in text, text
    assert text.endswith("without output_stride it may give one of its own stride")


def test_layers_with_one_cause_are_one_line_of_the_error():
    names = ("twice", "again")
    steps = [layers.Lambda(lambda x: 2 * x, name=name) for name in names]
    model = network(
        (16, 16, 2), layers.Conv2D(3, 3, strides=2), *steps, layers.Flatten(), layers.Dense(3)
    )
    with pytest.raises(ConversionError) as error:
        allconv.convert(model, input_size="any", output_stride=1)
    (line,) = str(error.value).splitlines()[1:-1]
    assert line.startswith("  'twice' (Lambda): ")
    assert "likewise 'again'" in line


def test_a_kept_pool_that_needs_no_dilation_stays():
    model = network((8, 8, 2), layers.MaxPooling2D(2, name="pool"), layers.Conv2D(2, 4))
    converted = allconv.convert(model, pooling="keep", input_size="any", output_stride=1)
    pool = converted.get_layer("pool")
    assert (type(pool).__name__, pool.strides) == ("MaxPooling2D", (1, 1))
    assert_is_what_the_model_says_of_every_crop(model, 1, pooling="keep", input_size="any")


def test_branches_whose_lengths_differ_by_the_size_of_the_image_are_refused_where_it_is_free():
    image = keras.Input((24,) * 2)
    fine = layers.Conv1D(2, 1, strides=4, name="fine")(image)
    wide = layers.Conv1D(2, 4, strides=4, name="wide")(image)
    model = keras.Model(image, layers.Flatten()(layers.Add(name="sum")([fine, wide])))
    message = (
        "'sum' \\(Add\\): by how many cells its inputs differ depends on the size of the image; "
        "give it: input_size=\\(height, width\\), or take output_stride=1"
    )
    with pytest.raises(ConversionError, match=message):
        allconv.convert(model, input_size="any", output_stride=2)
    allconv.convert(model, input_size=(32,), output_stride=2, verify=True)
    allconv.convert(model, input_size="any", output_stride=1, verify=True)


def test_a_pool_whose_counts_of_cells_do_not_meet_its_sums_is_not_said_to_have_inputs():
    model = network(
        (37, 38, 2),
        layers.Conv2D(4, 2, strides=2),
        layers.AveragePooling2D(5, strides=3, padding="same", name="mean"),
        layers.Conv2D(3, 2),
        layers.GlobalAveragePooling2D(),
    )
    message = (
        "'mean' \\(AveragePooling2D\\): by how many cells the map of its sums and that of its "
        "counts of cells differ depends on the size of the image; give it: "
        "input_size=\\(height, width\\), or take output_stride=1"
    )
    with pytest.raises(ConversionError, match=message):
        allconv.convert(model, input_size="any", output_stride=3)
    allconv.convert(model, input_size=(37, 38), output_stride=3, verify=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"output_stride": 1},
            "output_stride=1 is of class maps, and without an input_size there are none; give "
            "input_size='any', or the sizes of the image",
        ),
        (
            {"output_stride": 0, "input_size": "any"},
            "output_stride is 0; expected a number >= 1, or one for each axis",
        ),
        (
            {"output_stride": "fine", "input_size": "any"},
            "output_stride is 'fine'; expected a number >= 1, or one for each axis",
        ),
        (
            {"output_stride": (1, 1, 1), "input_size": "any"},
            "output_stride is (1, 1, 1), for maps of 3 axes; those of model 'classifier' have 2",
        ),
        (
            {"output_stride": 3, "input_size": "any"},
            "output_stride is 3, which does not divide the stride of model 'classifier', 4x4",
        ),
        (
            {"output_stride": 8, "input_size": (20, 20)},
            "output_stride is 8, which does not divide the stride of model 'classifier', 4x4",
        ),
    ],
)
def test_a_stride_that_there_is_not_is_an_error_that_says_why(options, message):
    for function in (allconv.convert, allconv.report):
        with pytest.raises(OptionError) as error:
            function(classifier(), **options)
        assert str(error.value) == message
