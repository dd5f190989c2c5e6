"""What `convert` writes loads elsewhere with the same numbers; what would not is refused before."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers, ops

import allconv
from allconv.cli.commands import main
from allconv.read import read
from allconv.saving.saved_as_h5 import lost_in_h5
from tests.helpers.keras_comparison import network, outputs, random_images
from tests.helpers.small_applications import NETWORKS
from tests.test_fixed_kernels import diagonals, of_any_size, pools

SUFFIXES = (".keras", ".h5")

LOADS = """
import pathlib, sys
import keras, numpy as np
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.npz")):
    arrays = np.load(path)
    images = [arrays[name] for name in sorted(arrays) if name.startswith("image")]
    expected = [arrays[name] for name in sorted(arrays) if name.startswith("output")]
    for suffix in (".keras", ".h5"):
        model = keras.models.load_model(path.with_suffix(suffix), compile=False)
        found = keras.tree.flatten(model(images if len(images) > 1 else images[0]))
        for new, old in zip(found, expected, strict=True):
            new = keras.ops.convert_to_numpy(new)
            np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5, err_msg=str(path))
    print(path.stem)
"""


def test_every_converted_network_loads_in_a_fresh_process_with_the_same_numbers(tmp_path):
    """One process loads them all, from both kinds of file, and has not heard of allconv."""
    names = []
    for make in (*NETWORKS, pools, of_any_size, diagonals):
        converted = allconv.convert(make())
        images = random_images(converted)
        arrays = {f"image{i}": image for i, image in enumerate(images)}
        arrays |= {f"output{i}": values for i, values in enumerate(outputs(converted, images))}
        np.savez(tmp_path / f"{make.__name__}.npz", **arrays)
        for suffix in SUFFIXES:
            converted.save(tmp_path / f"{make.__name__}{suffix}")
        names.append(make.__name__)
    done = subprocess.run(
        [sys.executable, "-c", LOADS, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(done.stdout.split()) == sorted(names)


LOST = {
    "softmax over two axes": (lambda x: layers.Softmax(axis=(1, 2))(x), "its axis is [1, 2]"),
    "normalization over two": (
        lambda x: layers.LayerNormalization(axis=(2, 3))(x),
        "its axis is [2, 3]",
    ),
    "statistics of all": (lambda x: layers.Normalization(axis=None)(x), "its axis is []"),
    "an operation": (lambda x: ops.tanh(x), "keras.ops, Tanh"),
    "a sum written as one": (lambda x: x + 1.0, "keras.ops, Add"),
}
KEPT = {
    "softmax as an operation": lambda x: ops.softmax(x),
    "concatenation as one": lambda x: ops.concatenate([x, x], axis=1),
    "one axis in a list": lambda x: layers.LayerNormalization(axis=[-1])(x),
    "numbers of the user's": lambda x: layers.Normalization(axis=None, mean=2.0, variance=3.0)(x),
    "a constraint over axes": lambda x: layers.Conv2D(
        2, 2, kernel_constraint=keras.constraints.MaxNorm(2, axis=[0, 1, 2])
    )(x),
}


def of(step):
    image = keras.Input((4, 5, 3))
    return keras.Model(image, step(image))


@pytest.mark.parametrize("name", LOST)
def test_what_an_h5_file_does_not_carry_is_known_before(name):
    step, said = LOST[name]
    (lost,) = lost_in_h5(read(of(step)))
    assert said in lost


@pytest.mark.parametrize("name", KEPT)
def test_what_an_h5_file_carries_is_not_refused(name, tmp_path):
    model = of(KEPT[name])
    assert list(lost_in_h5(read(model))) == []
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    images = random_images(model)
    for new, old in zip(outputs(loaded, images), outputs(model, images), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_convert_refuses_an_h5_file_that_would_not_load_before_any_work(tmp_path):
    model = network((4, 4, 3), layers.Conv2D(2, 1), layers.Softmax(axis=(1, 2), name="attention"))
    model.save(tmp_path / "m.keras")
    arguments = ["convert", str(tmp_path / "m.keras"), "--no-strict", "-o"]
    refused = CliRunner().invoke(main, [*arguments, str(tmp_path / "c.h5")])
    assert refused.exit_code == 2
    text = " ".join(refused.output.split())
    assert "Keras' .h5 files do not carry 'attention' (Softmax: its axis is [1, 2])" in text
    assert "give a name that ends in .keras" in text
    assert not (tmp_path / "c.h5").exists()
    assert CliRunner().invoke(main, [*arguments, str(tmp_path / "c.keras")]).exit_code == 0


def test_a_same_average_pool_is_carried_by_h5(tmp_path):
    model = network((9, 9, 2), layers.AveragePooling2D(2, padding="same"))
    allconv.convert(model).save(tmp_path / "c.h5")
    loaded = keras.models.load_model(tmp_path / "c.h5", compile=False)
    assert allconv.verify(model, loaded).passed
