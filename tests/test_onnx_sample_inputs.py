"""Images to calibrate with: arrays, files of arrays and folders of pictures, or a clear message."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from allconv.errors import AllconvError, FileError, OptionError
from allconv.export.precision.sample_inputs import drawn_samples, read_samples
from allconv.graph import Graph
from allconv.read import read
from tests.helpers.keras_comparison import network
from tests.helpers.networks import of_any_size, on_signals, twins

SIZE = (4, 6)


def on_pictures(channels: int | None = 3, size: tuple = SIZE, **options) -> Graph:
    """A network on images of height 4 and width 6, named `image`."""
    first = options.pop("data_format", "channels_last") == "channels_first"
    shape = (channels, *size) if first else (*size, channels)
    image = keras.Input(shape, name="image", **options)
    data_format = "channels_first" if first else "channels_last"
    x = layers.Rescaling(1 / 255)(image)
    pool = layers.AveragePooling2D(2, data_format=data_format)
    return read(keras.Model(image, pool(x), name="on_pictures"))


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in two subfolders, of the network's size."""
    for number in range(12):
        place = tmp_path / ("cats" if number % 2 else "dogs")
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels(number, *SIZE, 3)).save(place / f"{number:02}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def message_of(images, graph: Graph) -> str:
    with pytest.raises(AllconvError) as caught:
        read_samples(images, graph)
    return str(caught.value)


def test_every_fourth_image_is_held_out():
    images = np.arange(9 * 4 * 6 * 3, dtype="float32").reshape(9, 4, 6, 3)
    samples = read_samples(images, on_pictures())
    for part, numbers in (
        (samples.calibration, [0, 1, 2, 4, 5, 6, 8]),
        (samples.measured, [3, 7]),
    ):
        found = np.concatenate([sample()[0] for sample in part])
        np.testing.assert_array_equal(found, images[numbers])
    assert samples.words == "images held out, calibrated on 7 others"


def test_few_images_serve_for_both_and_are_called_so():
    samples = read_samples(np.zeros((7, 4, 6, 3)), on_pictures())
    assert samples.calibration == samples.measured
    assert samples.words == "images that it was calibrated on"


def test_arrays_get_the_type_of_the_input():
    (image,) = read_samples(pixels(0, 7, 4, 6, 3), on_pictures()).measured[0]()
    assert image.dtype == np.float32
    (image,) = read_samples(np.ones((7, 4, 6, 3)), on_pictures(dtype="uint8")).measured[0]()
    assert image.dtype == np.uint8


def test_a_file_of_arrays_is_read_by_the_inputs_names(tmp_path):
    left, right = np.zeros((7, 16, 16, 3)), np.ones((7, 16, 16, 3))
    np.savez(tmp_path / "pairs.npz", right=right, left=left)
    found = read_samples(tmp_path / "pairs.npz", read(twins())).measured[0]()
    assert [image.mean() for image in found] == [0, 1]


@pytest.mark.parametrize("name", ["images.npz", "images.npy"])
def test_a_single_array_may_have_any_name(tmp_path, name):
    images = np.ones((7, 4, 6, 3), "float32")
    (np.savez if name.endswith("z") else np.save)(tmp_path / name, images)
    (image,) = read_samples(str(tmp_path / name), on_pictures()).measured[0]()
    np.testing.assert_array_equal(image, images[:1])


def test_a_model_of_fixed_batches_is_given_whole_ones():
    samples = read_samples(np.zeros((8, 4, 6, 3)), on_pictures(batch_size=2))
    assert [sample()[0].shape for sample in samples.calibration] == 4 * [(2, 4, 6, 3)]


def test_pictures_are_given_in_the_order_of_their_names_with_numbers_from_0_to_255(folder):
    samples = read_samples(folder, on_pictures())
    assert (len(samples.calibration), len(samples.measured), samples.note) == (9, 3, "")
    cats_first = [*range(1, 12, 2), *range(0, 12, 2)]
    for sample, number in zip(samples.measured, cats_first[3::4], strict=True):
        (image,) = sample()
        np.testing.assert_array_equal(image, pixels(number, *SIZE, 3)[None].astype("float32"))


def test_pictures_are_turned_for_channels_first(folder):
    expected = read_samples(folder, on_pictures()).measured[0]()[0]
    (found,) = read_samples(folder, on_pictures(data_format="channels_first")).measured[0]()
    np.testing.assert_array_equal(found, np.moveaxis(expected, -1, 1))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pictures_get_the_channels_of_the_network(folder, channels, mode):
    (found,) = read_samples(folder, on_pictures(channels)).measured[0]()
    expected = np.asarray(Image.fromarray(pixels(7, *SIZE, 3)).convert(mode)).reshape(found.shape)
    np.testing.assert_array_equal(found, expected)


def test_pictures_are_scaled_to_the_network(folder):
    (found,) = read_samples(folder, on_pictures(size=(2, 3))).measured[0]()
    assert found.shape == (1, 2, 3, 3)
    assert abs(found.mean() - pixels(7, *SIZE, 3).mean()) < 10


def test_pictures_keep_their_size_where_the_network_takes_any(tmp_path):
    Image.fromarray(pixels(0, 9, 7, 3)).save(tmp_path / "a.png")
    Image.fromarray(pixels(0, 12, 8, 3)).save(tmp_path / "b.png")
    samples = read_samples(tmp_path, read(of_any_size()))
    assert [sample()[0].shape for sample in samples.measured] == [(1, 9, 7, 3), (1, 12, 8, 3)]


def test_a_network_that_does_not_scale_pixels_gets_a_note(folder):
    assert read_samples(folder, read(of_any_size())).note == (
        "the pictures' numbers were given as they are, 0 to 255: the network has no Rescaling or "
        "Normalization at its input; if it was trained on others, give these in a .npz file"
    )


def test_of_many_pictures_some_are_taken_evenly_spread(folder, monkeypatch):
    monkeypatch.setattr("allconv.export.precision.image_folder.MOST", 4)
    samples = read_samples(folder, on_pictures())
    found = [sample()[0] for sample in samples.measured]
    for image, number in zip(found, (1, 7, 0, 6), strict=True):
        np.testing.assert_array_equal(image[0], pixels(number, *SIZE, 3))


def test_drawn_samples_are_four_batches_of_each_size_tried():
    model = of_any_size()
    samples = drawn_samples(model, read(model))
    shapes = [sample()[0].shape for sample in samples.measured]
    assert len(shapes) == 12 and len(set(shapes)) == 3
    assert samples.words == "inputs drawn at random"


def test_a_folder_without_pictures_is_an_error(tmp_path):
    assert message_of(tmp_path, on_pictures()) == (
        f"{tmp_path}: holds no pictures (.bmp, .jpeg, .jpg, .png)"
    )


def test_a_broken_picture_is_named(folder):
    broken = folder / "cats" / "07.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(FileError, match="is no picture that Pillow can read") as caught:
        read_samples(folder, on_pictures()).measured[0]()
    assert str(caught.value).startswith(f"{broken}: ")


def test_pictures_without_pillow_are_an_error_that_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    message = message_of(folder, on_pictures())
    assert message.startswith(f"{folder}: reading pictures takes Pillow, which is not installed (")
    assert message.endswith("); pip install pillow, or give arrays in a .npz file")


def test_pictures_for_something_else_than_images_are_refused(folder):
    assert message_of(folder, read(on_signals())) == (
        "int8: pictures are for a network with one input of images, but model 'on_signals' takes "
        "'signal' (None, 40, 2); give arrays in a .npz file, by these names"
    )
    assert "takes 'left' (None, 16, 16, 3), 'right'" in message_of(folder, read(twins()))


def test_pictures_for_other_channels_are_refused(folder):
    assert message_of(folder, on_pictures(2)) == (
        "int8: pictures have 1, 3 or 4 channels and come one by one, but input 'image' is "
        "(None, 4, 6, 2); give arrays in a .npz file"
    )


def test_images_that_are_not_numbers_are_refused():
    images = np.zeros((8, 4, 6, 3))
    images[2, 1] = np.nan
    assert message_of(images, on_pictures()) == (
        "int8: the images for input 'image' are not all finite"
    )


def test_no_images_are_refused():
    assert message_of(np.zeros((0, 4, 6, 3)), on_pictures()) == (
        "int8: there are no images to calibrate with"
    )


def test_images_of_another_shape_are_refused():
    with pytest.raises(OptionError, match=r"shape \(8, 6, 4, 3\) does not fit input 'image'"):
        read_samples(np.zeros((8, 6, 4, 3)), on_pictures())


def test_something_else_than_arrays_is_refused(tmp_path):
    (tmp_path / "images.npz").write_bytes(b"something else")
    damaged = "it is damaged, or holds other things than numbers"
    told = {tmp_path / "images.npz": damaged, tmp_path / "missing": "No such file or directory"}
    for path, reason in told.items():
        assert message_of(path, on_pictures()) == (
            f"{path}: expected a folder of pictures, or arrays in a .npy or .npz file: {reason}"
        )


def test_images_that_vanish_in_a_network_of_any_size_are_refused():
    model = network((None, None, 3), layers.Conv2D(2, 3), layers.Conv2D(2, 5, name="wide"))
    samples = read_samples(np.zeros((8, 6, 9, 3)), read(model))
    with pytest.raises(OptionError) as caught:
        samples.calibration[0]()
    assert str(caught.value) == (
        f"int8: images of shape (1, 6, 9, 3) do not fit model '{model.name}', at wide (Conv2D): "
        "a window of 5 does not fit a map of 4; it takes images from 7x7 on"
    )
