"""A class map laid over its image: each pixel against a slow loop, and what is refused."""

from __future__ import annotations

import math
import re

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.errors import OptionError
from allconv.pictures.colours import VIRIDIS
from tests.helpers.keras_comparison import network
from tests.test_cell_places import made_geometry

BLACK_TO_RED = ((0, 0, 0), (255, 0, 0))
SHAPE = (30, 22)


def drawn_image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


def drawn_map(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).random(shape)


def message_of(*args, **options) -> str:
    with pytest.raises(OptionError) as caught:
        allconv.overlay(*args, **options)
    return str(caught.value)


def slowly(image, class_map, where, alpha, low, high):
    """The picture, pixel by pixel, from black to red."""
    picture = image.copy()
    for pixel in np.ndindex(image.shape[:2]):
        places = [
            (number - start) / stride
            for number, start, stride in zip(pixel, where.offset, where.output_stride, strict=True)
        ]
        cell = tuple(math.floor(place + 0.5) for place in places)
        if all(0 <= number < count for number, count in zip(cell, class_map.shape, strict=True)):
            part = min(max((class_map[cell] - low) / (high - low), 0), 1)
            colour = np.array([255 * part, 0, 0])
            picture[pixel] = np.rint((1 - alpha) * image[pixel] + alpha * colour)
    return picture


@given(
    stride=st.sampled_from([0.5, 1, 2, 3, 8]),
    offset=st.sampled_from([-1.5, -0.25, 0, 3, 3.5, 13.5]),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    alpha=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_each_pixel_has_the_colour_of_the_cell_that_speaks_for_it(stride, offset, cells, alpha):
    image, class_map = drawn_image(*SHAPE, 3), drawn_map(*cells)
    where = made_geometry(2, stride, None, offset)
    options = {"alpha": alpha, "vmin": 0.2, "vmax": 0.8, "colours": BLACK_TO_RED}
    found = allconv.overlay(image, class_map, where, **options)
    expected = slowly(image, class_map, where, alpha, 0.2, 0.8)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1  # a half is rounded either way


def test_a_map_of_its_model_is_brightest_where_the_thing_is():
    """A network that finds a bright square of four pixels, wherever it is."""
    model = network((8, 8, 1), layers.AveragePooling2D(4, strides=2))
    where, anywhere = allconv.geometry(model), allconv.convert(model, input_size="any")
    for row, column in [(0, 0), (6, 10), (12, 2)]:
        image = np.zeros((16, 14), "float32")
        image[row : row + 4, column : column + 4] = 1
        class_map = anywhere.predict(image[None, ..., None], verbose=0)[0]
        picture = allconv.overlay(image * 0, class_map, where, colours=BLACK_TO_RED)
        brightest = np.argwhere(picture[..., 0] == picture.max())
        np.testing.assert_allclose(brightest.mean(axis=0), (row + 1.5, column + 1.5))


def test_pixels_that_no_cell_speaks_for_stay_as_they_are():
    image = drawn_image(33, 35, 3)
    picture = allconv.overlay(image, drawn_map(3, 4), made_geometry(2, 2, 28, 13.5), alpha=1)
    changed = np.argwhere((picture != image).any(axis=-1))
    assert changed.min(axis=0).tolist() == [13, 13]  # from 12.5 on
    assert changed.max(axis=0).tolist() == [18, 20]
    np.testing.assert_array_equal(picture[30:], image[30:])
    assert image is not picture


WHERE = made_geometry(2, 2, 5, 2)


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1), (*SHAPE, 3)])
def test_grey_and_colour_and_bytes_and_floats_are_alike(shape):
    levels, class_map = drawn_image(*shape), drawn_map(9, 7)
    found = allconv.overlay(levels, class_map, WHERE)
    for dtype in ("float32", "float64"):
        image = (levels / 255).astype(dtype)
        np.testing.assert_array_equal(allconv.overlay(image, class_map, WHERE), found)
    corner = np.broadcast_to(levels.reshape(*SHAPE, -1)[-1, -1], 3)
    np.testing.assert_array_equal(found[-1, -1], corner)
    assert found.shape == (*SHAPE, 3)


def test_one_of_several_classes_is_laid_over():
    image, class_map = drawn_image(*SHAPE), drawn_map(9, 7, 3)
    for class_id in range(3):
        np.testing.assert_array_equal(
            allconv.overlay(image, class_map, WHERE, class_id=class_id),
            allconv.overlay(image, class_map[..., class_id], WHERE),
        )


def test_what_a_network_gives_needs_no_copy_to_numpy():
    class_map = keras.ops.convert_to_tensor(drawn_map(9, 7).astype("float32"))
    image = keras.ops.convert_to_tensor(drawn_image(*SHAPE))
    expected = allconv.overlay(np.asarray(image), np.asarray(class_map), WHERE)
    np.testing.assert_array_equal(allconv.overlay(image, class_map, WHERE), expected)


def test_the_range_of_colours_is_that_of_the_map_or_as_given():
    black, class_map = np.zeros(SHAPE, "uint8"), np.full((9, 7), 3.0)
    class_map[4, 3], class_map[0, 0] = 5, np.inf
    picture = allconv.overlay(black, class_map, WHERE, alpha=1)
    assert tuple(picture[2, 2]) == tuple(picture[10, 8]) == VIRIDIS[-1]
    assert tuple(picture[6, 6]) == VIRIDIS[0]
    picture = allconv.overlay(black, class_map, WHERE, alpha=1, vmin=3, vmax=7)
    assert tuple(picture[10, 8]) == VIRIDIS[2]


def test_a_map_of_one_number_has_the_first_colour():
    picture = allconv.overlay(np.zeros(SHAPE, "uint8"), np.ones((9, 7)), WHERE, alpha=1)
    assert tuple(picture[5, 5]) == VIRIDIS[0]


def test_a_single_colour_is_that_of_every_cell():
    picture = allconv.overlay(
        np.zeros(SHAPE, "uint8"), drawn_map(9, 7), WHERE, alpha=1, colours=[(9, 8, 7)]
    )
    assert {tuple(pixel) for pixel in picture[1:19, 1:15].reshape(-1, 3).tolist()} == {(9, 8, 7)}


def test_cells_without_a_number_show_the_image():
    image, class_map = drawn_image(*SHAPE, 3), drawn_map(9, 7)
    class_map[2, 3] = np.nan
    picture = allconv.overlay(image, class_map, WHERE, alpha=1)
    hidden = (picture == image).all(axis=-1)
    assert hidden[5:7, 7:9].all() and not hidden[5:7, 9:11].any()
    nothing = allconv.overlay(image, class_map * np.nan, WHERE)
    np.testing.assert_array_equal(nothing, image)


def test_alpha_may_be_that_of_each_cell():
    image, class_map = drawn_image(*SHAPE, 3), drawn_map(9, 7)
    found = allconv.overlay(image, class_map, WHERE, alpha=np.where(class_map > 0.5, 0.7, 0))
    whole = allconv.overlay(image, class_map, WHERE, alpha=0.7)
    sure = np.float32(1) + np.finfo("float32").eps
    np.testing.assert_array_equal(
        allconv.overlay(image, class_map, WHERE, alpha=sure),
        allconv.overlay(image, class_map, WHERE, alpha=1),
    )
    for pixel in [(4, 5), (9, 9), (12, 3), (18, 14)]:
        seen = class_map[WHERE.cell(pixel)] > 0.5
        np.testing.assert_array_equal(found[pixel], whole[pixel] if seen else image[pixel])


def test_the_colours_are_those_of_viridis_and_grow_lighter():
    import matplotlib

    theirs = matplotlib.colormaps["viridis"](np.linspace(0, 1, len(VIRIDIS)))[:, :3] * 255
    np.testing.assert_array_equal(VIRIDIS, np.rint(theirs))
    lightness = np.array(VIRIDIS) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 30).all()


# what is refused

IMAGE, MAP = drawn_image(*SHAPE), drawn_map(9, 7)
FLOATS = "expected uint8, or floats from 0 to 1"
DIVIDE = "; divide it by 255, or give image.astype('uint8')"
COLOURS = (
    "colours: expected (red, green, blue) for each, from 0 to 255, such as [(0, 0, 0), (255, 0, 0)]"
)
OF_MATPLOTLIB = (
    "for a colormap of matplotlib's, 255 * matplotlib.colormaps['jet'](range(256))[:, :3]"
)
BEFORE = "; give it as it was before it was preprocessed for the network"


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        ((1, 30, 22, 3), "; it is a batch: give one of its images, such as images[0]"),
        ((30, 22, 4), "; leave the alpha channel out, image[..., :3]"),
        ((3, 30, 22), "; it has its channels first, np.moveaxis(image, 0, -1) has them last"),
        ((30,), ""),
    ],
)
def test_an_image_of_another_shape_is_refused(shape, way):
    image = drawn_image(*shape)
    assert message_of(image, MAP, WHERE) == (
        f"image has shape {shape}; expected (height, width), or that with 1 or 3 channels last{way}"
    )
    if "[" in way or "(" in way:
        allconv.overlay(mended(image, way), MAP, WHERE)


def mended(image, way):
    """The image as the message advises to give it."""
    advised = re.search(r"images?\[.*|np\..*?\)", way)[0]
    return eval(advised, {"np": np, "image": image, "images": image})


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (IMAGE.astype("float32"), f"float32 from 0 to 255; {FLOATS}{DIVIDE}"),
        (IMAGE.astype("int64"), f"int64 from 0 to 255; {FLOATS}{DIVIDE}"),
        (IMAGE / 255 - 0.5, f"float64 from -0.5 to 0.5; {FLOATS}{BEFORE}"),
        (np.full(SHAPE, np.nan), f"float64 from nan to nan; {FLOATS}"),
        (IMAGE * 256.0, f"float64 from 0 to 65280; {FLOATS}"),
    ],
)
def test_an_image_of_other_numbers_is_refused(image, found):
    assert message_of(image, MAP, WHERE) == f"image has numbers of type {found}"


@pytest.mark.parametrize("given", ["photo.png", [[1], [2, 3]], None])
def test_what_holds_no_numbers_is_refused(given):
    kind = f"expected an array of numbers, got {type(given).__name__}; "
    assert message_of(given, MAP, WHERE).startswith(f"image: {kind}")
    assert message_of(IMAGE, given, WHERE) == f"class_map: {kind}predict(images)[0] gives one"


def test_a_map_in_bfloat16_is_taken():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    short = MAP.astype(ml_dtypes.bfloat16)
    expected = allconv.overlay(IMAGE, short.astype("float64"), WHERE)
    np.testing.assert_array_equal(allconv.overlay(IMAGE, short, WHERE), expected)


@pytest.mark.parametrize(
    ("shape", "class_id"), [((9, 7, 10), None), ((1, 9, 7, 10), 3), ((9, 7), 3), ((9,), None)]
)
def test_a_map_of_another_shape_is_refused(shape, class_id):
    assert message_of(IMAGE, drawn_map(*shape), WHERE, class_id=class_id) == (
        f"class_map has shape {shape}; expected (height, width), or (height, width, classes) and a "
        f"class_id{'; take predict(...)[0]' if len(shape) == 4 else ''}"
    )


@pytest.mark.parametrize("class_id", [10, -1, "3", 1.5, np.array([1, 2])])
def test_a_class_that_is_none_is_refused(class_id):
    assert message_of(IMAGE, drawn_map(9, 7, 10), WHERE, class_id=class_id) == (
        f"class_id is {class_id!r}; class_map has classes 0 to 9"
    )


def test_a_map_that_looks_beyond_the_image_is_refused():
    fits = allconv.overlay(IMAGE, drawn_map(13, 9), WHERE)
    assert fits.shape == (*SHAPE, 3)
    assert message_of(IMAGE, drawn_map(9, 13), WHERE) == (
        "class_map has 9x13 cells, and the last would look beyond the image of 30x22 pixels: the "
        "two do not belong together"
    )


def shrinking(padding, up):
    steps = [layers.Conv2D(1, 3, strides=2, padding=padding), layers.AveragePooling2D(2)]
    if up:
        steps += [layers.UpSampling2D(2)]
    return network((None, None, 1), *steps, layers.Conv2D(1, 3, padding=padding))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_map_fits_its_own_image_and_none_of_twice_or_half_the_size(padding, up):
    model = shrinking(padding, up)
    where = allconv.geometry(model)
    for size in range(40, 56):
        cells = model.compute_output_shape((1, size, size + 7, 1))[1:3]
        class_map = np.zeros(cells)
        allconv.overlay(np.zeros((size, size + 7)), class_map, where)
        large, small = (2 * size, 2 * size + 14), (size // 2, size // 2 + 4)
        assert "room for more" in message_of(np.zeros(large), class_map, where)
        assert "look beyond" in message_of(np.zeros(small), class_map, where)


def test_a_map_of_a_smaller_image_is_refused_with_the_cells_that_there_would_be():
    where = made_geometry(2, 2, 28, 13.5)
    allconv.overlay(np.zeros((60, 44)), drawn_map(17, 9), where)
    assert message_of(np.zeros((200, 90)), drawn_map(17, 9), where) == (
        "class_map has 17x9 cells, and there is room for more in the image of 200x90 pixels, at "
        "least 86x31: the two do not belong together"
    )
    assert "look beyond the image of 44x60" in message_of(
        np.zeros((44, 60)), drawn_map(17, 9), where
    )


def test_a_geometry_of_other_axes_is_refused():
    words = "geometry is that of maps of 3 axes, not of 2"
    assert message_of(IMAGE, MAP, made_geometry(3)) == words
    words = "geometry is a Sequential; expected what allconv.geometry(model) gives"
    assert message_of(IMAGE, MAP, keras.Sequential()) == words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"alpha": 1.5},
            "alpha: expected a number from 0 to 1, or such numbers of shape (9, 7), got 1.5",
        ),
        (
            {"alpha": np.ones((7, 9))},
            "alpha: expected a number from 0 to 1, or such numbers of "
            "shape (9, 7), got numbers of shape (7, 9)",
        ),
        ({"vmin": 3, "vmax": 2}, "colours range from vmin to vmax, but vmin is 3, vmax 2"),
        ({"vmin": "low"}, "vmin is 'low'; expected a number"),
        ({"vmax": [1, 2]}, "vmax is [1, 2]; expected a number"),
        ({"alpha": "half"}, "alpha is 'half'; expected a number from 0 to 1, or one for each cell"),
        ({"colours": [(0, 0)]}, COLOURS),
        ({"colours": [(0, 0, 256)]}, COLOURS),
        ({"colours": ["red", "blue"]}, COLOURS),
        ({"colours": [(0, 0, 0), (1, 1)]}, COLOURS),
        ({"colours": "red"}, f"{COLOURS}, got 'red'; {OF_MATPLOTLIB}"),
    ],
)
def test_options_out_of_their_range_are_refused(options, message):
    assert message_of(IMAGE, MAP, WHERE, **options) == message


def test_a_colormap_of_matplotlib_is_given_as_its_colours():
    matplotlib = pytest.importorskip("matplotlib")
    jet = eval(OF_MATPLOTLIB.partition("'s, ")[2], {"matplotlib": matplotlib})
    found = allconv.overlay(
        IMAGE, np.full((9, 7), 1.0), WHERE, vmin=0, vmax=2, colours=jet, alpha=1
    )
    cell = np.rint([255 * part for part in matplotlib.colormaps["jet"](0.5)[:3]])
    np.testing.assert_allclose(found[15, 11], cell, atol=2)
