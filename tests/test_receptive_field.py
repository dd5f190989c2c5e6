"""Receptive fields and centres against what Keras computes where one row of an image changes."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import ConversionError
from allconv.sizes.field import PHASES, Field
from allconv.sizes.spread_fields import mixed, spread
from tests.helpers.keras_comparison import outputs

SIZES = {1: (48,), 2: (40, 40), 3: (20, 14, 14)}
ON_JAX = keras.backend.backend() == "jax"
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")


def with_positive_kernels(model):
    """The model with kernels in which nothing cancels, and no biases."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "kernel" in weight.path else (0, 0)
        weight.assign(rng.uniform(low, high, weight.shape))
    return model


def network(rank, *steps, data_format="channels_last"):
    shape = (*SIZES[rank], 1) if data_format == "channels_last" else (1, *SIZES[rank])
    image = tensor = keras.Input(shape)
    for step in steps:
        tensor = step(tensor)
    return with_positive_kernels(keras.Model(image, tensor))


def seen_rows(model):
    """For each row of a model's output, in the middle of it, the rows that it depends on."""
    (size, *others), channels = model.input_shape[1:-1], model.input_shape[-1]
    changed = np.zeros((2 * size, size, *others, channels), "float32")
    for row in range(size):
        changed[row, row], changed[size + row, row] = 1, -1
    (found,) = outputs(model, changed)
    middle = (slice(n // 2 - 2, n // 2 + 2) for n in found.shape[2:-1])  # one may see nothing
    inside = np.abs(found[(slice(None), slice(None), *middle)])
    differs = inside.max(axis=tuple(range(2, inside.ndim))) > 1e-9
    return [np.flatnonzero(rows[:size] | rows[size:]) for rows in differs.T]


def field_and_centre(model, geometry):
    """What the rows in the middle see together, each in relation to its place."""
    size, stride = model.input_shape[1], geometry.output_stride[0]
    field, centre = geometry.receptive_field[0], geometry.field_offset[0]
    lows, highs = [], []
    for row, seen in enumerate(seen_rows(model)):
        place = centre + stride * row
        if len(seen) and field / 2 + 1 < place < size - field / 2 - 2:
            lows.append(seen[0] - stride * row)
            highs.append(seen[-1] - stride * row)
    low, high = min(lows, default=0), max(highs, default=0)
    return len(lows), math.floor(high - low + 1e-9) + 1, (low + high) / 2


class Arguments:
    """What a layer is made with; Keras makes none inside of a strategy without a warning."""

    def __init__(self, *args, **options):
        self.args, self.options = args, options

    def __repr__(self):
        return f"({self.args}, {self.options})"


@st.composite
def steps(draw, rank):
    """A layer for maps of so many axes: class, arguments, and how far it spreads them."""
    kinds = ["conv", "max", "max", "mean", "up", "transposed", "padding", "cropping"]
    kind = draw(st.sampled_from([*kinds, "depthwise", "separable"][: 10 if rank < 3 else 8]))
    window, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["valid", "same"]))
    if kind in ("max", "mean"):
        stride = min(stride, window + 1) if rank == 3 else stride
        pool = "MaxPooling" if kind == "max" else "AveragePooling"
        return f"{pool}{rank}D", Arguments(window, stride, padding=padding), 1
    if kind == "up":
        options = {"interpolation": draw(st.sampled_from(INTERPOLATIONS))} if rank == 2 else {}
        factor = draw(st.integers(2, 3))
        return f"UpSampling{rank}D", Arguments(factor, **options), factor
    if kind == "transposed":
        given = rank == 2 and (window % 2 or padding == "valid")  # TensorFlow refuses the others
        extra = draw(st.sampled_from([None, *range(stride)])) if given else None
        if ON_JAX and padding == "same" and extra:  # it drops other cells than TensorFlow does
            extra = 0
        arguments = Arguments(1, window, stride, padding=padding, output_padding=extra)
        return f"Conv{rank}DTranspose", arguments, stride
    if kind in ("padding", "cropping"):
        side = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        amount = side if rank == 1 else (side, *[(1, 1)] * (rank - 1))
        name = "ZeroPadding" if kind == "padding" else "Cropping"
        return f"{name}{rank}D", Arguments(amount), 1
    options = {"padding": padding}
    if stride == 1:
        options["dilation_rate"] = draw(st.integers(1, 3))
    if kind == "depthwise":
        return f"DepthwiseConv{rank}D", Arguments(window, stride, **options), 1
    if kind == "conv" and rank == 1:
        options["padding"] = draw(st.sampled_from(["valid", "same", "causal"]))
    name = "Conv" if kind == "conv" else "SeparableConv"
    return f"{name}{rank}D", Arguments(2, window, stride, **options), 1


@settings(max_examples=40, deadline=None)
@given(data=st.data(), rank=st.sampled_from([1, 2, 2, 3]))
def test_field_and_centre_are_those_of_what_the_network_computes(data, rank):
    """Exact, over as many cells as it takes until they see alike again."""
    drawn = data.draw(st.lists(steps(rank), min_size=1, max_size=3))
    try:
        made = (getattr(layers, kind)(*given.args, **given.options) for kind, given, _ in drawn)
        model = network(rank, *made)
    except ValueError:  # a map vanished
        assume(False)
    assume(0 not in model.output_shape[1:] and math.prod(model.output_shape[1:]) < 20_000)
    geometry = allconv.geometry(model)
    assume(max(geometry.receptive_field) < min(SIZES[rank]) - 8)
    for cell, seen in enumerate(seen_rows(model)):
        box = geometry.box((cell,) * rank)[0]
        assert set(seen) <= set(range(SIZES[rank][0])[box])
    cells, field, centre = field_and_centre(model, geometry)
    assume(cells >= math.prod(factor for *_, factor in drawn))
    assert (field, pytest.approx(centre)) == (geometry.receptive_field[0], geometry.field_offset[0])


POOLS = [
    (kind, window, stride, padding)
    for kind in ("MaxPooling2D", "AveragePooling2D")
    for window, stride in ((2, 2), (3, 2), (3, 1), (2, 3), (5, 2), (4, 3))
    for padding in ("valid", "same")
]


@pytest.mark.parametrize(("kind", "window", "stride", "padding"), POOLS)
@pytest.mark.parametrize("activation", ["relu", None])
def test_a_pool_sees_its_window_whatever_it_becomes(kind, window, stride, padding, activation):
    pool = getattr(layers, kind)(window, stride, padding=padding)
    model = network(2, layers.Conv2D(2, 1, activation=activation), pool)
    geometry = allconv.geometry(model)
    _, *found = field_and_centre(model, geometry)
    assert found == [geometry.receptive_field[0], geometry.field_offset[0]] == [window, found[1]]
    assert geometry == allconv.geometry(allconv.convert(model, input_size=(40, 40)))


@pytest.mark.skipif(ON_JAX, reason="JAX drops other cells than TensorFlow does")
@pytest.mark.parametrize(
    ("window", "stride", "extra"), [(3, 2, 0), (3, 2, 1), (5, 3, 2), (1, 2, 1)]
)
def test_output_padding_moves_what_a_transposed_convolution_sees(window, stride, extra):
    options = {"padding": "same", "output_padding": extra}
    model = network(2, layers.Conv2DTranspose(1, window, stride, **options))
    geometry = allconv.geometry(model)
    assert field_and_centre(model, geometry)[1:] == (
        geometry.receptive_field[0],
        pytest.approx(geometry.field_offset[0]),
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("factor", [2, 3])
def test_an_interpolation_mixes_no_more_cells_than_it_does(interpolation, factor):
    model = network(2, layers.UpSampling2D(factor, interpolation=interpolation))
    geometry = allconv.geometry(model)
    _, *found = field_and_centre(model, geometry)
    assert found == [geometry.receptive_field[0], pytest.approx(geometry.field_offset[0])]


def test_up_and_down_again_sees_no_more_than_it_does():
    """A pool of four, up by two and down again: each cell sees one window of four, not eight."""
    model = network(
        2, layers.AveragePooling2D(4), layers.UpSampling2D(2), layers.AveragePooling2D(2)
    )
    assert allconv.geometry(model).receptive_field == (4, 4)
    assert field_and_centre(model, allconv.geometry(model))[1:] == (4, 1.5)


def test_a_file_of_a_converted_network_says_the_same_of_its_cells(tmp_path):
    pool = layers.MaxPooling2D(3, 2, padding="same")
    model = network(2, layers.Conv2D(3, 3, padding="same"), pool, layers.AveragePooling2D(2))
    geometry = allconv.geometry(model)
    for options in ({}, {"input_size": "any"}):
        allconv.convert(model, **options).save(tmp_path / "converted.keras")
        read = allconv.geometry(tmp_path / "converted.keras")
        assert (read.receptive_field, read.field_offset) == (
            geometry.receptive_field,
            geometry.field_offset,
        )


@pytest.mark.parametrize("rank", [1, 3])
def test_pools_of_other_ranks_see_their_windows(rank):
    pool = getattr(layers, f"MaxPooling{rank}D")(3, 2, padding="same")
    model = network(rank, getattr(layers, f"Conv{rank}D")(2, 1), pool)
    assert allconv.geometry(model).receptive_field == (3,) * rank
    assert allconv.geometry(allconv.convert(model)).receptive_field == (3,) * rank


def test_channels_that_come_first_change_nothing():
    def steps(**form):
        return (
            layers.Conv2D(2, 1, **form),
            layers.MaxPooling2D(3, 2, padding="same", **form),
            layers.UpSampling2D(2, interpolation="bilinear", **form),
        )

    first = network(2, *steps(data_format="channels_first"), data_format="channels_first")
    last = allconv.geometry(network(2, *steps()))
    found = allconv.geometry(first)
    assert (found.receptive_field, found.field_offset) == (last.receptive_field, last.field_offset)


def test_branches_see_together_what_each_of_them_sees():
    image = keras.Input((40, 40, 1))
    near = layers.MaxPooling2D(2)(image)
    far = layers.Conv2D(1, 5, strides=2, padding="same")(image)
    model = with_positive_kernels(keras.Model(image, layers.Add()([near, far])))
    geometry = allconv.geometry(model)
    assert field_and_centre(model, geometry)[1:] == (5, geometry.field_offset[0]) == (5, 1.0)


def test_maps_side_by_side_have_no_field_in_common():
    image = keras.Input((8, 8, 1))
    halves = [
        layers.Cropping2D(((0, 4), (0, 0)))(image),
        layers.Cropping2D(((4, 0), (0, 0)))(image),
    ]
    model = keras.Model(image, layers.Concatenate(axis=1, name="joined")(halves[::-1]))
    with pytest.raises(ConversionError, match=r"'joined' .* joins maps side by side"):
        allconv.geometry(model)


@pytest.mark.parametrize("factor", [PHASES, PHASES + 1])
def test_of_too_many_phases_the_bounds_are_those_of_all(factor):
    wide = Field().through(range(3), 2, 1)
    for found in (
        mixed(wide, factor, 2),
        spread(wide, range(0, 2 * factor + 1), factor, "same", None),
    ):
        assert found.stride == wide.stride / factor
        exact = factor == PHASES
        assert len(found.phases) == (factor if exact else 1)
        assert found.last - found.first < 12
