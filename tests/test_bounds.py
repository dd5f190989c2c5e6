"""What a stranger's file asks for has bounds."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import allconv
from allconv import rewrite
from allconv.building.build import build
from allconv.errors import ConversionError, FileError, ShapeError
from allconv.read import archive, guarded, hdf5, json_text, read, scope
from allconv.rewrite import MOST_VALUES
from allconv.sizes.smallest_size import LONGEST as LONGEST_PERIOD
from tests.helpers.described_files import (
    call,
    functional,
    image,
    layer,
    refused,
    sequential,
    tensor,
    written,
)

BILLION = 10**9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


def skipped(path: Path, description: dict, **options: object) -> str:
    """Why the last layer of a model stays as it is."""
    report = allconv.report(written(path, description), **options)
    return report.obstacles[-1].reason


def pool(kind: str, size: object, strides: object = None, name: str = "pool") -> dict:
    return layer(kind, name, pool_size=size, strides=strides)


# Files that would take long, or much memory, to be read.


def test_more_calls_than_any_model_has_are_refused(path, monkeypatch):
    monkeypatch.setattr(scope, "MOST_CALLS", 5)
    assert refused(path, sequential(image(4), *(layer("ReLU", f"{i}") for i in range(5)))) == (
        "the model: more than 5 calls of layers, those in nested models counted at each call of "
        "these; no network is as large"
    )


def test_a_description_of_more_values_than_any_is_refused(path, monkeypatch):
    monkeypatch.setattr(json_text, "MOST_VALUES", 20)
    message = refused(path, sequential(image(4), layer("ReLU", "a", x=[0] * 20)), FileError)
    assert message == "config.json: a description of more values than any model's"


def test_a_description_of_more_objects_than_any_is_refused(path, monkeypatch):
    monkeypatch.setattr(json_text, "MOST_OBJECTS", 5)
    message = refused(path, sequential(image(4), *[layer("ReLU", "a")] * 5), FileError)
    assert message == "config.json: nested deeper, or longer, than any model is"


def test_a_list_of_members_longer_than_any_is_not_read(path, monkeypatch):
    monkeypatch.setattr(archive._Careful, "most", 1000)
    with zipfile.ZipFile(path, "w") as many:
        for number in range(100):
            many.writestr(f"{number}", "")
    with pytest.raises(FileError, match="its list of members is longer than any model's"):
        allconv.report(path)


def weights_file(path: Path) -> Path:
    """A Dense layer of one weight, in a file as Keras 3 writes it."""
    dense = layer("Dense", "dense", units=1, use_bias=False)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(sequential(image(1), dense))
        file["layers/dense/vars/0"] = np.ones((1, 1), "float32")
    return path


def test_groups_within_themselves_are_read_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MOST_FOUND", 1000)
    path = weights_file(tmp_path / "model.h5")
    assert allconv.report(path).rows
    with h5py.File(path, "r+") as file:
        for number in range(5):
            file[f"layers/dense/{number}"] = file["layers/dense"]
    with pytest.raises(FileError, match="more than 1,000 groups and arrays in it are named"):
        allconv.report(path)


def test_a_group_of_more_members_than_any_is_refused(tmp_path, monkeypatch):
    path = weights_file(tmp_path / "model.h5")
    with h5py.File(path, "r+") as file:
        for number in range(30):
            file[f"layers/dense/vars/{number + 1}"] = file["layers/dense/vars/0"]
    monkeypatch.setattr(hdf5, "MOST_FOUND", 20)
    with pytest.raises(FileError, match="a group with more than 20 members"):
        allconv.report(path)


def test_arrays_that_claim_more_together_than_the_file_has_are_refused(tmp_path):
    path = tmp_path / "model.h5"
    dense = [layer("Dense", f"dense{i}", units=4096, use_bias=False) for i in range(20)]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(sequential(image(4096), *dense))
        shape, packed = (4096, 4096), {"compression": "gzip", "chunks": (4096, 4096)}
        file.create_dataset("first", data=np.zeros(shape, "uint8"), **packed)
        for number in range(20):
            name = f"dense_{number}" if number else "dense"
            file[f"layers/{name}/vars/0"] = file["first"]
    with pytest.raises(FileError, match=r"claim 335,544,320 values together, which are not in \d"):
        allconv.report(path)


def test_free_places_in_a_circle_are_refused(tmp_path):
    """HDF5 1.14 walks around in it, and takes memory at every step."""
    path = weights_file(tmp_path / "model.h5")
    content = bytearray(path.read_bytes())
    at = content.find(guarded.LOCAL_HEAP) + len(guarded.LOCAL_HEAP)
    size, _, start = guarded.PLACES.unpack_from(content, at)
    guarded.PLACES.pack_into(content, at, size, 8, start)
    guarded.FREE.pack_into(content, start + 8, 8, 16)
    path.write_bytes(content)
    with pytest.raises(FileError, match="a heap of names in it is damaged"):
        allconv.report(path)


@pytest.mark.parametrize(("at", "number"), [(13, 4), (14, 2), (24, 512), (8, 9)])
def test_hdf5_of_another_form_than_keras_writes_is_refused(at, number, tmp_path):
    path = weights_file(tmp_path / "model.h5")
    content = bytearray(path.read_bytes())
    struct.pack_into("<B" if number < 256 else "<H", content, at, number)
    path.write_bytes(content)
    with pytest.raises(FileError, match="it begins as no HDF5 file of Keras does"):
        allconv.report(path)


def test_groups_that_do_not_divide_the_channels_are_told(path):
    conv = layer("Conv2D", "conv", filters=2, kernel_size=3, groups=3, use_bias=False)
    assert refused(path, sequential(image(8, 8, 2), conv), ShapeError) == (
        "layer 'conv' (Conv2D): 2 channels cannot be divided into 3 groups"
    )


# Layers that would take long, or much memory, to be planned.


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_window_of_a_pool_has_bounds(padding, path):
    vast = {**pool("MaxPooling2D", 10**6), "name": "pool"}
    vast["config"]["padding"] = padding
    model = sequential(image(BILLION, BILLION, 3), vast)
    assert skipped(path, model) == "its window of 1000000x1000000 cells is beyond all bounds"
    assert skipped(path, model, pooling="conv") == (
        "its window of 1000000x1000000 cells is beyond all bounds"
    )


def test_the_strides_of_a_pool_have_bounds(path):
    model = sequential(image(BILLION, 3), pool("MaxPooling1D", 2, 2**30))
    assert skipped(path, model) == "its strides of 1073741824 cells are beyond all bounds"


def test_a_maximum_over_a_whole_map_has_bounds(path):
    model = sequential(image(BILLION, BILLION, 3), layer("GlobalMaxPooling2D", "pool"))
    assert skipped(path, model) == (
        "its window of 1000000000x1000000000 cells is beyond all bounds"
    )


def test_kernels_that_rules_make_up_have_bounds(path):
    model = sequential(image(BILLION, BILLION, 3), layer("GlobalAveragePooling2D", "pool"))
    assert skipped(path, model) == (
        "it would need kernels of 3,000,000,000,000,000,000 more values, which is beyond all bounds"
    )


def test_kernels_that_rules_make_up_have_bounds_together(path):
    maps = [
        part
        for number in range(5)
        for part in (
            pool("AveragePooling2D", 4096, 1, f"mean{number}"),
            layer("UpSampling2D", f"up{number}", size=4096),
        )
    ]
    report = allconv.report(written(path, sequential(image(4096, 4096, 4), *maps)))
    assert MOST_VALUES // (4096 * 4096 * 4) == 4
    assert [obstacle.layer for obstacle in report.obstacles] == ["mean4"]


def test_the_weights_of_a_model_itself_are_not_counted(monkeypatch):
    """A Dense layer becomes a convolution of the same kernel, however large that is."""
    head = [layers.Flatten(), layers.Dense(5, name="dense")]
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.AveragePooling2D(2, name="p"), *head])
    monkeypatch.setattr(rewrite, "MOST_VALUES", 2 * 2 * 2)
    assert not allconv.report(model).obstacles
    monkeypatch.setattr(rewrite, "MOST_VALUES", 2 * 2 * 2 - 1)
    assert [obstacle.layer for obstacle in allconv.report(model).obstacles] == ["p"]


def test_counts_for_the_cells_of_a_vast_map_are_worked_out_on_the_way(path):
    vast = pool("AveragePooling2D", 3, 1)
    vast["config"]["padding"] = "same"
    (row,) = allconv.report(written(path, sequential(image(5000, 5000, 1), vast))).rows[1:]
    assert "Multiply" in row.becomes and "Rescaling" not in row.becomes


def test_maps_that_grow_beyond_all_counting_are_refused(path):
    ups = [layer("UpSampling1D", f"up{number}", size=2**31) for number in range(3)]
    assert refused(path, sequential(image(4, 1), *ups), ShapeError) == (
        "layer 'up1' (UpSampling1D): gives a map of more cells along an axis than 64 bits can count"
    )


def strided(strides: list[int]) -> dict:
    pools = [pool("MaxPooling1D", 1, s, f"pool{i}") for i, s in enumerate(strides)]
    return sequential(image(BILLION, 1), *pools)


def test_strides_beyond_all_bounds_have_no_geometry(path):
    written(path, strided([200, 200]))
    assert allconv.report(path).geometry is None
    with pytest.raises(ConversionError) as caught:
        allconv.geometry(path)
    assert LONGEST_PERIOD == 4096
    assert str(caught.value) == (
        "model 'model': its strides come to more than 4,096 cells, too many to look for its "
        "smallest image"
    )


def test_strides_that_multiply_beyond_all_counting_have_no_receptive_field(path):
    written(path, strided([250] * 6))
    with pytest.raises(
        ConversionError, match=r"'pool5' .* multiply to more than 1,099,511,627,776"
    ):
        allconv.geometry(path)


# Building: Keras, and the memory to run what it made, have bounds of their own.


def test_what_keras_does_not_take_is_told(path):
    relu = layer("ReLU", "relu", [call(tensor("image"), flavour="sweet")])
    model = functional(image(4), relu, outputs=[["relu", 0, 0]])
    with pytest.raises(ConversionError) as caught:
        allconv.convert(written(path, model))
    assert re.match(
        r"layer 'relu' \(ReLU\): Keras refuses it \(TypeError: .*flavour", str(caught.value)
    )


def test_a_model_whose_maps_fill_the_memory_is_not_run(path):
    model = sequential(image(10**5, 10**5, 3), layer("ReLU", "relu"))
    original = build(read(written(path, model)))
    verification = allconv.verify(original, original)
    assert verification.passed is None
    assert str(verification) == (
        "not run: 'image' gives 120,000,000,000 values for 4 inputs, too many to be tried; give "
        "inputs"
    )


def test_a_small_model_is_run():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    assert allconv.verify(model, model).passed is True
