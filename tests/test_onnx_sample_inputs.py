"""Images to calibrate with: arrays, files of arrays and folders of pictures, or a clear message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from keras import layers

from allconv.errors import AllconvError, OptionError
from allconv.export.precision.sample_inputs import drawn_samples, read_samples
from allconv.graph import Graph
from allconv.pictures.preprocessing import Preprocessing
from allconv.read import read
from tests.helpers.keras_comparison import network
from tests.helpers.networks import of_any_size, twins
from tests.helpers.picture_files import SIZE, on_pictures, pixels, write_pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in two subfolders, of the network's size."""
    return write_pictures(tmp_path)


def message_of(images, graph: Graph, preprocessing: Preprocessing | None = None) -> str:
    with pytest.raises(AllconvError) as caught:
        read_samples(images, graph, preprocessing)
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
    assert (len(samples.calibration), len(samples.measured), samples.notes) == (9, 3, [])
    cats_first = [*range(1, 12, 2), *range(0, 12, 2)]
    for sample, number in zip(samples.measured, cats_first[3::4], strict=True):
        (image,) = sample()
        np.testing.assert_array_equal(image, pixels(number, *SIZE, 3)[None].astype("float32"))


def test_of_many_pictures_some_are_taken_evenly_spread(folder, monkeypatch):
    monkeypatch.setattr("allconv.pictures.folder.MOST", 4)
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


def test_arrays_are_taken_as_they_are_and_not_preprocessed(tmp_path):
    np.save(tmp_path / "images.npy", np.ones((7, 4, 6, 3)))
    for images in (np.ones((7, 4, 6, 3)), tmp_path / "images.npy"):
        assert message_of(images, on_pictures(), Preprocessing(scale=1)) == (
            "preprocessing is for a folder of pictures; arrays are taken as they are"
        )


def test_pictures_are_preprocessed_as_asked_for(folder):
    plain = read_samples(folder, on_pictures()).measured[0]()[0]
    chosen = Preprocessing(scale=1 / 127.5, mean=1)
    (found,) = read_samples(folder, on_pictures(scales=False), chosen).measured[0]()
    np.testing.assert_allclose(found, plain / 127.5 - 1, atol=1e-6)
