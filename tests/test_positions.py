"""Where cells lie in the image, against the published crops of FCN and ramps of coordinates."""

from __future__ import annotations

from fractions import Fraction

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.read import read
from allconv.segmentation.position import Position, crop_between
from allconv.segmentation.positions import positions

BLOCKS = (2, 2, 3, 3, 3)


def thin_vgg(padding):
    """VGG16's geometry with one channel in every layer, up to the convolution of its head."""
    net = [keras.Input((None, None, 1)), layers.ZeroPadding2D(padding)]
    for block, convs in enumerate(BLOCKS):
        for conv in range(convs):
            inside = "same" if block or conv else "valid"
            net.append(layers.Conv2D(1, 3, padding=inside))
        net.append(layers.MaxPooling2D(2, name=f"pool{block + 1}"))
    return keras.Sequential([*net, layers.Conv2D(1, 7, name="fc6"), layers.Conv2D(1, 1)])


def crops_of_fcn(padding):
    """The crops of FCN-32s, 16s and 8s, in the order in which its authors list them."""
    model = thin_vgg(padding)
    found = {node.name: place[0] for node, place in positions(read(model)).items()}
    score, image = found[model.layers[-1].name], Position()
    twice = Fraction(3, 2)
    up2 = score.spread(2, twice)
    up4 = up2.spread(2, twice)
    return [
        crop_between(score.spread(32, Fraction(63, 2)), image),
        crop_between(found["pool4"], up2),
        crop_between(up2.spread(16, Fraction(31, 2)), image),
        crop_between(found["pool3"], up4),
        crop_between(up4.spread(8, Fraction(15, 2)), image),
    ]


def test_the_crops_of_vgg16_with_100_pixels_of_padding_are_the_published_ones():
    assert crops_of_fcn(100) == [19, 5, 27, 9, 31]


def test_with_its_own_padding_vgg16_has_no_score_for_the_first_pixels():
    assert crops_of_fcn(1) == [-80, 5, -72, 9, -68]


WINDOWS = st.tuples(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.sampled_from(["valid", "same"])
)


def windows_of_means(size, drawn):
    net = [keras.Input((size, 1))]
    for kernel, stride, dilation, padding in drawn:
        dilation = 1 if stride > 1 else dilation
        mean = keras.initializers.Constant(1 / kernel)
        net.append(
            layers.Conv1D(
                1,
                kernel,
                strides=stride,
                dilation_rate=dilation,
                padding=padding,
                kernel_initializer=mean,
                use_bias=False,
            )
        )
    return keras.Sequential(net)


def means_of_a_ramp(model, size):
    """Mean after mean of the coordinates, which go on evenly in the padding; by NumPy alone."""
    ramp, step = np.arange(float(size)), 1.0
    for layer in model.layers:
        (kernel,), (stride,), (dilation,) = layer.kernel_size, layer.strides, layer.dilation_rate
        reach = (kernel - 1) * dilation
        before = 0
        if layer.padding == "same":
            added = max((-(-len(ramp) // stride) - 1) * stride + reach + 1 - len(ramp), 0)
            before, behind = added // 2, added - added // 2
            ahead = ramp[0] - step * np.arange(before, 0, -1)
            ramp = np.concatenate([ahead, ramp, ramp[-1] + step * np.arange(1, behind + 1)])
        places = range(0, len(ramp) - reach, stride)
        ramp = np.array([ramp[i : i + reach + 1 : dilation].mean() for i in places])
        step *= stride
    return ramp


@settings(max_examples=25)
@given(size=st.integers(60, 70), drawn=st.lists(WINDOWS, min_size=1, max_size=3))
def test_a_cell_lies_at_the_mean_of_the_coordinates_that_it_sees(size, drawn):
    model = windows_of_means(size, drawn)
    graph = read(model)
    (place,) = positions(graph)[graph.outputs[0]]
    seen = means_of_a_ramp(model, size)
    assert model.output_shape[1] == len(seen)
    lies = float(place.scale) * seen + float(place.shift)
    np.testing.assert_allclose(lies, np.arange(len(seen)), atol=1e-9)


def centre_of_one(layer, pixel, size=12):
    """Where the weight of one lit pixel comes to lie behind a layer."""
    image = np.zeros((1, size, 1), "float32")
    image[0, pixel] = 1
    model = keras.Sequential([keras.Input((size, 1)), layer])
    lit = np.asarray(model(image))[0, :, 0]
    graph = read(model)
    (place,) = positions(graph)[graph.outputs[0]]
    return (lit * np.arange(len(lit))).sum() / lit.sum(), float(place.scale * pixel + place.shift)


def transposed(kernel, **config):
    return layers.Conv1DTranspose(1, kernel, kernel_initializer="ones", use_bias=False, **config)


@pytest.mark.parametrize(
    "layer",
    [
        transposed(4, strides=2),
        transposed(3, strides=2, padding="same"),
        transposed(4, strides=2, padding="same"),
        transposed(5, strides=3),
        layers.UpSampling1D(3),
        layers.ZeroPadding1D((2, 1)),
        layers.Cropping1D((3, 1)),
    ],
    ids=lambda layer: f"{layer.name}",
)
def test_a_pixel_comes_to_lie_where_the_weight_of_its_light_lies(layer):
    lies, expected = centre_of_one(layer, 6)
    assert lies == pytest.approx(expected)


def branches(size):
    """Two windows with stride 2, of which one has padding that depends on the size."""
    image = keras.Input((size, size, 1))
    left = layers.Conv2D(2, 3, strides=2, padding="same")(image)
    right = layers.Conv2D(2, 1, strides=2)(image)
    return read(keras.Model(image, layers.Add(name="sum")([left, right])))


def test_branches_that_lie_alike_meet():
    graph = branches(9)
    assert positions(graph)[graph.outputs[0]] == (Position(Fraction(1, 2)),) * 2


def test_branches_a_part_of_a_cell_apart_meet_in_their_middle():
    graph = branches(8)
    assert positions(graph)[graph.outputs[0]] == (Position(Fraction(1, 2), Fraction(-1, 4)),) * 2


def test_branches_a_cell_apart_are_an_error_that_names_the_places():
    image = keras.Input((8, 8, 1))
    cut = [layers.Cropping2D(((a, 1 - a), (0, 0)))(image) for a in (0, 1)]
    graph = read(keras.Model(image, layers.Add(name="sum")(cut)))
    with pytest.raises(
        allconv.ConversionError, match=r"'sum' \(Add\) joins .* 1 x \+ 0 and 1 x \+ -1"
    ):
        positions(graph)


def test_a_padding_that_depends_on_a_free_size_is_an_error_that_asks_for_the_size():
    conv = layers.Conv2D(2, 3, strides=2, padding="same", name="conv")
    model = keras.Sequential([keras.Input((None, None, 1)), conv])
    with pytest.raises(allconv.ConversionError, match=r"'conv' \(Conv2D\) pads .* 0 or 1 cells"):
        positions(read(model))


def test_a_layer_that_keeps_nothing_in_place_is_an_error_that_names_it():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(name="flat")])
    with pytest.raises(allconv.ConversionError, match=r"'flat' \(Flatten\) leaves nothing"):
        positions(read(model))


def test_what_a_global_pool_makes_of_the_whole_image_lies_nowhere():
    image = keras.Input((8, 8, 2))
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="mean")(image)
    graph = read(keras.Model(image, layers.Multiply()([image, gate])))
    found = {node.name: place for node, place in positions(graph).items()}
    assert "mean" not in found
    assert found[graph.outputs[0].name] == (Position(), Position())


def test_maps_of_other_scales_or_parts_of_a_cell_apart_have_no_crop():
    half = Position(Fraction(1, 2), Fraction(1, 2))
    assert crop_between(half, Position(Fraction(1, 2))) is None
    assert crop_between(half, Position()) is None
    assert crop_between(half, Position(Fraction(1, 2), Fraction(5, 2))) == -2
