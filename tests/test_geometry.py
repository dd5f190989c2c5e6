"""Output stride, smallest image and step of the class maps of whole networks."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv.errors import ConversionError
from tests.helpers.keras_comparison import assert_close, network, outputs
from tests.helpers.networks import residual, twins
from tests.helpers.randomized import randomize
from tests.helpers.small_applications import squeeze_and_excitation, u_net

# Araujo, Norris and Sim 2019 (Distill), table of architectures: receptive field and output stride
# of the last map before the head.
PUBLISHED = {"VGG16": (212, 32), "ResNet50": (483, 32), "MobileNet": (315, 32)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_published_receptive_fields(name):
    build = getattr(keras.applications, name)
    model = build(weights=None, include_top=False, input_shape=(64, 64, 3))
    geometry = allconv.geometry(model)
    field, stride = PUBLISHED[name]
    assert geometry.receptive_field == (field, field)
    assert geometry.output_stride == (stride, stride)


def test_the_smallest_image_is_the_smallest_that_leaves_a_cell():
    """Counted here: of what is too small a backend may make anything."""

    def cells_left(size, window, pool):
        size = len(range(size - window + 1))
        size = len(range(0, size - pool + 1, pool))
        return len(range(0, size - 2, 2))

    model = network(
        (30, 21, 1),
        layers.Conv2D(2, (5, 3)),
        layers.MaxPooling2D((3, 2)),
        layers.Conv2D(2, 3, strides=2),
        layers.Flatten(),
        layers.Dense(2),
    )
    height, width = allconv.geometry(model).minimum_input_size
    for own, smallest, *windows in ((30, height, 5, 3), (21, width, 3, 2)):
        needed = cells_left(own, *windows)  # the head is as large as the map
        assert cells_left(smallest, *windows) == needed > cells_left(smallest - 1, *windows)
    converted = allconv.convert(model, input_size="any")
    assert tuple(converted(np.zeros((1, height, width, 1), "float32")).shape[1:3]) == (1, 1)
    for size in [(height - 1, width), (height, width - 1)]:
        check = allconv.check(converted, input_size=size)
        assert not check and str(check).endswith(f"it takes images from {height}x{width} on")


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_cell_of_a_classifier_is_in_the_middle_of_the_crop_that_it_speaks_for(padding):
    """28 rows, 14, 7 and 3, or 26, 13, 11 and 5: the last pool leaves a row out."""
    conv, pool = layers.Conv2D, layers.MaxPooling2D
    steps = [conv(2, 3, padding=padding), pool(2), conv(2, 3, padding=padding), pool(2)]
    steps += [pool(2)] if padding == "same" else []
    model = network((28, 28, 1), *steps, layers.Flatten(), layers.Dense(3))
    where = allconv.geometry(model)
    assert where.offset == (13.5, 13.5)
    assert where.field_offset[0] < 13.5
    if padding == "valid":
        image = np.random.default_rng(0).random((1, 60, 52, 1))
        anywhere = allconv.convert(model, input_size="any")
        row, column = where.cell((30, 22))
        top, left = row * where.output_stride[0], column * where.output_stride[1]
        assert abs(top + 13.5 - 30) <= 2 and abs(left + 13.5 - 22) <= 2
        (crop,) = outputs(model, image[:, top : top + 28, left : left + 28])
        assert_close(outputs(anywhere, image)[0][:, row, column], crop)


def test_a_classifier_has_the_geometry_of_its_all_convolutional_form():
    model = network(
        (28, 28, 1), layers.Conv2D(4, 5), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)
    )
    geometry = allconv.geometry(model)
    assert geometry == allconv.geometry(allconv.convert(model))
    assert geometry.output_stride == (2, 2)
    assert geometry.receptive_field == (28, 28)
    assert geometry.offset == geometry.field_offset == (13.5, 13.5)
    assert geometry.minimum_input_size == (28, 28)
    assert geometry.output_size == (1, 1)
    assert geometry.padded == ()
    assert str(geometry) == (
        "output stride 2x2, receptive field 28x28, first cell's centre at (13.5, 13.5), "
        "smallest image 28x28"
    )


def test_where_branches_meet_the_field_holds_those_of_all():
    assert allconv.geometry(residual()).receptive_field == (5, 5)
    assert allconv.geometry(residual()).padded == ("conv1", "conv2")


def test_a_factor_of_the_whole_map_makes_the_field_everything():
    geometry = allconv.geometry(squeeze_and_excitation())
    assert geometry.receptive_field == (None, None)
    assert "receptive field the whole image" in str(geometry)
    assert geometry.minimum_input_size == (8, 8)


def test_up_and_down_again_gives_a_stride_of_one():
    geometry = allconv.geometry(u_net())
    assert geometry.output_stride == (1, 1)
    assert geometry.output_size == (16, 16)


def test_a_map_finer_than_the_image_has_a_fraction_for_a_stride():
    model = network((6, 6, 2), layers.UpSampling2D(2))
    assert allconv.geometry(model).output_stride == (0.5, 0.5)


def test_two_images_through_the_same_layers_count_as_one():
    assert allconv.geometry(twins()).output_stride == (2, 2)


def test_several_outputs_have_no_single_geometry():
    image = keras.Input((6, 6, 2))
    model = randomize(keras.Model(image, [layers.Conv2D(2, 3)(image), layers.Conv2D(2, 2)(image)]))
    with pytest.raises(ConversionError, match="has 2 outputs; geometry is that of one"):
        allconv.geometry(model)


def test_a_model_that_sees_no_image_has_none():
    with pytest.raises(ConversionError, match="makes its output of no image"):
        allconv.geometry(network((5,), layers.Dense(3)))
    assert allconv.report(network((5,), layers.Dense(3))).geometry is None


def test_branches_of_different_strides_are_named():
    image = keras.Input((3, 3, 2))
    coarse = layers.Conv2D(2, 2, strides=2)(image)
    fine = layers.Conv2D(2, 3)(image)
    model = keras.Model(image, layers.Add(name="sum")([coarse, fine]))
    with pytest.raises(ConversionError, match=r"layer 'sum' \(Add\).*strides 1 and 2"):
        allconv.geometry(model)


def test_sizes_at_which_branches_do_not_meet_are_passed_over():
    """Four halvings and doublings meet at multiples of 16 only; 48 is three of them."""
    image = x = keras.Input((48, 48, 1))
    skips = []
    for _ in range(4):
        x = layers.Conv2D(1, 3, padding="same")(x)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    for skip in reversed(skips):
        x = layers.Add()([layers.UpSampling2D(2)(x), skip])
    geometry = allconv.geometry(keras.Model(image, x))
    assert geometry.minimum_input_size == (16, 16)
    assert geometry.input_size_step == geometry.period == (16, 16)


def test_a_free_size_that_fits_odd_sizes_only_is_found():
    image = keras.Input((None, None, 1))
    wide = layers.Conv2D(1, 3)(image)
    x = layers.UpSampling2D(2)(layers.Conv2D(1, 3)(layers.MaxPooling2D(2)(wide)))
    model = keras.Model(image, layers.Concatenate()([x, layers.Cropping2D(((2, 3), (2, 3)))(wide)]))
    geometry = allconv.geometry(model)
    assert geometry.minimum_input_size == (9, 9)
    assert geometry.input_size_step == (2, 2)


def test_a_size_may_be_given_where_the_model_leaves_it_open():
    image = keras.Input((None, None, 2))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image)))
    assert allconv.geometry(model, input_size=(9, 9)).receptive_field == (9, 9)
    with pytest.raises(ConversionError, match="they have no geometry"):
        allconv.geometry(model)


@pytest.mark.parametrize(
    ("make", "apart"),
    [
        (lambda: layers.Conv2DTranspose(2, 3), True),
        (lambda: layers.Conv2DTranspose(2, 2, strides=2, padding="same"), False),
        (lambda: layers.UpSampling2D(2, interpolation="bilinear"), True),
        (lambda: layers.UpSampling2D(2), False),
        (lambda: layers.ZeroPadding2D(1), True),
        (lambda: layers.Conv2D(2, 1, padding="same"), False),
    ],
)
def test_layers_that_treat_the_border_apart_are_named(make, apart):
    layer = make()
    assert (allconv.geometry(network((6, 6, 2), layer)).padded == (layer.name,)) is apart


def test_no_size_that_fits_is_an_error():
    image = keras.Input((None, None, 1))
    model = keras.Model(
        image, layers.Add()([layers.Conv2D(1, 3)(image), layers.Cropping2D(3)(image)])
    )
    with pytest.raises(ConversionError, match="fits no image of up to 16384 cells"):
        allconv.geometry(model)
    assert allconv.report(model).geometry is None
