"""Pictures in a folder become what a network takes, and nothing is changed without a word."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from allconv.errors import AllconvError, FileError
from allconv.graph import Graph
from allconv.pictures.batches import LENGTH, PictureBatches
from allconv.pictures.entrance import takes_pixels
from allconv.pictures.folder import pictures
from allconv.pictures.preprocessing import Preprocessing
from allconv.read import read
from tests.helpers.networks import of_any_size, on_signals, twins
from tests.helpers.picture_files import SIZE, on_pictures, pixels, write_pictures

AS_THEY_ARE = Preprocessing(scale=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in two subfolders, of the network's size."""
    return write_pictures(tmp_path)


def only_picture(folder: Path, graph: Graph, chosen: Preprocessing | None = None) -> np.ndarray:
    """What a network is given of the first picture in a folder."""
    (array,) = pictures(folder, graph, chosen)[0][0]()
    return array


def note_of(folder: Path, graph: Graph, chosen: Preprocessing | None = None) -> str:
    return "; ".join(pictures(folder, graph, chosen)[1])


def message_of(folder: Path, graph: Graph, chosen: Preprocessing | None = None) -> str:
    with pytest.raises(AllconvError) as caught:
        [read_one() for read_one in pictures(folder, graph, chosen)[0]]
    return str(caught.value)


def saved(tmp_path: Path, picture: Image.Image, name: str = "a.png", **options) -> Path:
    picture.save(tmp_path / name, **options)
    return tmp_path


# what a network is given


def test_pictures_are_turned_for_channels_first(folder):
    expected = only_picture(folder, on_pictures())
    found = only_picture(folder, on_pictures(data_format="channels_first"))
    np.testing.assert_array_equal(found, np.moveaxis(expected, -1, 1))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pictures_get_the_channels_of_the_network(folder, channels, mode):
    found = only_picture(folder, on_pictures(channels))
    expected = np.asarray(Image.fromarray(pixels(1, *SIZE, 3)).convert(mode)).reshape(found.shape)
    np.testing.assert_array_equal(found, expected)


def test_pictures_are_scaled_to_the_network(folder):
    found = only_picture(folder, on_pictures(size=(2, 3)))
    assert found.shape == (1, 2, 3, 3)
    assert abs(found.mean() - pixels(1, *SIZE, 3).mean()) < 10


def test_pictures_keep_their_size_where_the_network_takes_any(tmp_path):
    Image.fromarray(pixels(0, 9, 7, 3)).save(tmp_path / "a.png")
    Image.fromarray(pixels(0, 12, 8, 3)).save(tmp_path / "b.png")
    samples, notes = pictures(tmp_path, read(of_any_size()), AS_THEY_ARE)
    assert [sample()[0].shape for sample in samples] == [(1, 9, 7, 3), (1, 12, 8, 3)]
    assert notes == []


def test_a_size_may_be_given_where_the_network_takes_any(tmp_path):
    Image.fromarray(pixels(0, 9, 7, 3)).save(tmp_path / "a.png")
    chosen = Preprocessing(scale=1, size=(20, 16))
    assert only_picture(tmp_path, read(of_any_size()), chosen).shape == (1, 20, 16, 3)
    assert note_of(tmp_path, read(of_any_size()), chosen) == (
        "1 of 1 pictures: of another size, scaled to 20x16 bilinearly"
    )


def test_channels_are_turned_round_for_bgr_and_means_are_in_that_order(folder):
    chosen = Preprocessing(scale=1, mean=(10, 20, 30), colour="bgr")
    found = only_picture(folder, on_pictures(scales=False), chosen)
    np.testing.assert_allclose(found[0], pixels(1, *SIZE, 3)[..., ::-1] - (10.0, 20, 30))


def test_an_input_of_bytes_takes_pixels_as_they_are_and_no_fractions(folder):
    graph = on_pictures(scales=False, dtype="uint8")
    assert only_picture(folder, graph).dtype == np.uint8
    assert message_of(folder, graph, Preprocessing(scale=1 / 255)) == (
        "input 'image' takes uint8, and what Preprocessing makes of pixels are others than such "
        "numbers; leave scale, mean and std out"
    )


def test_batches_of_pictures_are_of_one_size_and_read_anew_each_time(tmp_path):
    for number in range(LENGTH + 3):
        Image.fromarray(pixels(number, 5, 5, 3)).save(tmp_path / f"{number:02}.png")
    Image.fromarray(pixels(99, 5, 7, 3)).save(tmp_path / "99.png")
    batches = PictureBatches(pictures(tmp_path, read(of_any_size()), AS_THEY_ARE)[0])
    for _ in range(2):
        found = list(batches)
        assert [batch.shape for batch in found] == [
            (LENGTH, 5, 5, 3),
            (3, 5, 5, 3),
            (1, 5, 7, 3),
        ]
        np.testing.assert_array_equal(found[1][0], pixels(LENGTH, 5, 5, 3))


# what is said


def test_pictures_of_another_size_are_counted(folder):
    Image.fromarray(pixels(0, 9, 7, 3)).save(folder / "large.png")
    assert note_of(folder, on_pictures()) == (
        "1 of 13 pictures: of another size, scaled to 4x6 bilinearly"
    )


COLOURED, WITH_ALPHA = Image.fromarray(pixels(0, *SIZE, 3)), Image.fromarray(pixels(0, *SIZE, 4))
GREY, PALETTE = Image.fromarray(pixels(0, *SIZE)), COLOURED.quantize(16)
ALPHA_LEFT = "with an alpha channel, which was left out"
GREY_REPEATED = "grey, the same number given for red, green and blue"


@pytest.mark.parametrize(
    ("picture", "channels", "words"),
    [
        (COLOURED, 3, []),
        (PALETTE, 3, []),
        (GREY, 1, []),
        (GREY.convert("1"), 1, []),
        (WITH_ALPHA, 4, []),
        (GREY, 3, [GREY_REPEATED]),
        (GREY.convert("LA"), 3, [GREY_REPEATED, ALPHA_LEFT]),
        (WITH_ALPHA, 3, [ALPHA_LEFT]),
        (COLOURED, 1, ["in colour, made grey"]),
        (PALETTE, 1, ["in colour, made grey"]),
        (WITH_ALPHA, 1, ["in colour, made grey", ALPHA_LEFT]),
        (COLOURED, 4, ["without an alpha channel, given one of 255"]),
    ],
)
def test_what_is_done_to_colours_is_said(tmp_path, picture, channels, words):
    note = note_of(saved(tmp_path, picture), on_pictures(channels))
    assert note == "; ".join(f"1 of 1 pictures: {each}" for each in words)


def test_a_see_through_colour_of_a_palette_is_an_alpha_channel(tmp_path):
    saved(tmp_path, PALETTE, transparency=3)
    assert note_of(tmp_path, on_pictures()) == f"1 of 1 pictures: {ALPHA_LEFT}"


def test_a_picture_that_a_camera_has_on_its_side_is_said_to_be_taken_as_stored(tmp_path):
    picture = Image.fromarray(pixels(0, *SIZE, 3))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "phone.jpg", exif=exif)
    note = note_of(tmp_path, on_pictures())
    assert "to be turned by their EXIF data, taken as they are stored" in note


def test_colours_of_print_are_said(tmp_path):
    saved(tmp_path, COLOURED.convert("CMYK"), "a.jpg")
    assert note_of(tmp_path, on_pictures()) == (
        "1 of 1 pictures: CMYK colours, converted to red, green and blue"
    )


def test_it_is_said_that_of_many_pictures_some_were_taken(folder, monkeypatch):
    monkeypatch.setattr("allconv.pictures.folder.MOST", 4)
    assert note_of(folder, on_pictures()) == "4 of 12 pictures were taken, evenly spread"


def test_it_is_said_where_pictures_are_scaled_twice(folder):
    assert note_of(folder, on_pictures(), Preprocessing(scale=1 / 255)) == (
        "the network scales its input itself, after what was asked for"
    )


# what is refused


@pytest.mark.parametrize("chosen", [None, Preprocessing(colour="bgr"), Preprocessing(size=SIZE)])
def test_a_network_that_scales_nothing_needs_to_be_told_what_it_takes(folder, chosen):
    graph = on_pictures(scales=False)
    assert message_of(folder, graph, chosen) == (
        f"{folder}: model 'on_pictures' has no Rescaling or Normalization at its input 'image', so "
        "it has to be said which numbers it takes: give a Preprocessing with scale, mean or std "
        "(and colour and size, where need be); Preprocessing(scale=1) is for one that takes pixels "
        "as they are, 0 to 255"
    )
    np.testing.assert_array_equal(
        only_picture(folder, graph, AS_THEY_ARE), only_picture(folder, on_pictures())
    )


def png(colour: int, channels: int) -> bytes:
    """A picture of 16 bits for each number, which Pillow does not write in colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width = SIZE
    rows = (b"\0" + b"\x9c\x40" * width * channels) * height
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_pictures_of_16_bits_are_refused(tmp_path, colour, channels):
    """Of grey ones Pillow would make 255 of all above it."""
    (tmp_path / "a.png").write_bytes(png(colour, channels))
    for taken in (1, 3):
        assert message_of(tmp_path, on_pictures(taken)) == (
            f"{tmp_path / 'a.png'}: has more than 8 bits for each number, and pictures are read as "
            "numbers from 0 to 255; save it with 8 bits, or give arrays in a .npz file"
        )


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (
            Preprocessing(colour="gray"),
            "colour is 'gray'; expected one for the 3 channels of input 'image'",
        ),
        (
            Preprocessing(mean=(1, 2)),
            "mean is (1, 2); expected a number, or one for each of the 3 channels of input 'image'",
        ),
        (
            Preprocessing(std=(1,)),
            "std is (1,); expected a number, or one for each of the 3 channels of input 'image'",
        ),
        (Preprocessing(size=(6, 4)), "size is 6x4; expected that of input 'image', 4x6"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(folder, chosen, words):
    assert message_of(folder, on_pictures(), chosen) == f"Preprocessing: {words}"


def test_a_folder_without_pictures_is_an_error(tmp_path):
    assert message_of(tmp_path, on_pictures()) == (
        f"{tmp_path}: holds no pictures (.bmp, .jpeg, .jpg, .png)"
    )


def test_a_broken_picture_is_named_before_any_is_given(folder):
    broken = folder / "cats" / "07.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(FileError, match="is no picture that Pillow can read") as caught:
        pictures(folder, on_pictures())
    assert str(caught.value).startswith(f"{broken}: ")


def test_a_picture_that_ends_early_is_named(folder):
    broken = folder / "cats" / "07.png"
    broken.write_bytes(broken.read_bytes()[:60])
    assert message_of(folder, on_pictures()).startswith(f"{broken}: is no picture that Pillow can")


def test_pictures_without_pillow_are_an_error_that_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    message = message_of(folder, on_pictures())
    assert message.startswith(f"{folder}: Pillow, which reads pictures, cannot be ")
    assert message.endswith("); pip install pillow brings it, or give arrays in a .npz file")


def test_pictures_for_something_else_than_images_are_refused(folder):
    assert message_of(folder, read(on_signals())) == (
        f"{folder}: pictures are for a network with one input of images, but model 'on_signals' "
        "takes 'signal' (None, 40, 2); give arrays in a .npz file, by these names"
    )
    assert "takes 'left' (None, 16, 16, 3), 'right'" in message_of(folder, read(twins()))


def test_pictures_for_other_channels_are_refused(folder):
    assert message_of(folder, on_pictures(2)) == (
        f"{folder}: pictures have 1, 3 or 4 channels and come one by one, but input 'image' is "
        "(None, 4, 6, 2); give arrays in a .npz file"
    )


# whether a network scales pixels itself


def scaled_by(*steps) -> Graph:
    image = x = keras.Input((8, 8, 3))
    for step in steps:
        x = step(x)
    return read(keras.Model(image, layers.Conv2D(2, 3)(x)))


def a_branch_of_its_own(x):
    return layers.Add()([layers.Rescaling(1 / 255)(x), x])


@pytest.mark.parametrize(
    ("steps", "scales"),
    [
        ([layers.Rescaling(1 / 255)], True),
        ([layers.Normalization(mean=120, variance=3000)], True),
        ([layers.Normalization(mean=0.5, variance=0.08)], False),  # takes 0 to 1
        ([layers.Rescaling(2.0, -1.0)], False),
        ([lambda x: x * 2.0 - 1.0], False),
        ([lambda x: x - 0.5], False),
        ([lambda x: x / 255.0], True),
        ([lambda x: x - 127.5], True),
        ([layers.ZeroPadding2D(1), layers.RandomFlip(), layers.Rescaling(1 / 255)], True),
        ([layers.Rescaling(1.0), layers.Rescaling(1 / 255)], True),
        ([keras.applications.vgg16.preprocess_input], True),
        ([keras.applications.resnet_v2.preprocess_input], True),
        ([], False),
        ([layers.Rescaling(1.0)], False),
        ([layers.BatchNormalization()], False),
        ([layers.Conv2D(3, 1), layers.Rescaling(1 / 255)], False),
        ([lambda x: x + x], False),
        ([a_branch_of_its_own], False),
    ],
)
def test_a_network_scales_pixels_where_each_way_from_its_input_begins_so(steps, scales):
    assert takes_pixels(scaled_by(*steps)) is scales
