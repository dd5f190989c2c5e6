"""What a run in the examples rests on: batches by number, resuming, sharing batches, networks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import architectures
import keras
import numpy as np
import pytest
import training
from batches import Batches, augmentation
from data_sets import read
from keras import layers
from records import read_json
from refusal import Refusal

import allconv
from tests.helpers.example_data import drawn_arrays, write_data

ROOT = Path(__file__).parents[1]
MNIST, CIFAR10 = (28, 28, 1), (32, 32, 3)
SETTINGS = training.Settings("mnist", "cnn", seed=3, epochs=3, batch_size=16, augment=True)

KILLED = """
import os, signal, sys
from pathlib import Path
import test_example_training as test
from batches import Batches

class Deadly(Batches):
    def __getitem__(self, step):
        if self.epoch == 2 and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(step)

test.training.Batches = Deadly
test.training.SECONDS_BETWEEN_BACKUPS = 3600
test.trained(Path(sys.argv[1]), Path(sys.argv[2]))
"""

SHARED = """
import json, sys
from pathlib import Path
import test_example_training as test
from distributed import scope_of_devices

share = scope_of_devices()
print(json.dumps(test.losses_with_and_without(share, Path(sys.argv[1]), Path(sys.argv[2]))))
"""

WHOLE = """
import json, sys
from pathlib import Path
import test_example_training as test

print(json.dumps(test.histories(Path(sys.argv[1]), Path(sys.argv[2]))))
"""
NUMBERS = ("loss", "accuracy", "val_loss", "val_accuracy")


def run_apart(
    code: str, *arguments: Path, backend: str | None = None
) -> subprocess.CompletedProcess:
    """Runs a program in a process of its own, with the examples and these tests at hand."""
    folders = (ROOT, ROOT / "tests", ROOT / "examples")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    environment |= {"KERAS_BACKEND": backend or keras.backend.backend()}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def small() -> keras.Model:
    """A network with dropout, on images `(batch, 28, 28, 1)`."""
    model = keras.Sequential([keras.Input(MNIST), layers.AveragePooling2D(7), layers.Flatten()])
    for layer in (layers.Dropout(0.5), layers.Dense(8, activation="tanh"), layers.Dropout(0.2)):
        model.add(layer)
    model.add(layers.Dense(10, activation="softmax"))
    return model


def trained(data: Path, folder: Path) -> keras.Model:
    return training.train(SETTINGS, small, read("mnist", data), folder)


# batches


def batches(**options: object) -> Batches:
    arrays = drawn_arrays("mnist")
    images = arrays["x_train"][..., np.newaxis]
    return Batches(images, arrays["y_train"], batch_size=20, **options)


def test_a_pass_has_each_image_once_with_its_class_in_an_order_of_its_own() -> None:
    drawn = batches(seed=1)
    seen = [drawn[step] for step in range(len(drawn))]
    assert len(drawn) == 96 // 20
    assert len(np.unique([image.tobytes() for images, _ in seen for image in images])) == 80
    for images, labels in seen:
        assert images.dtype == "float32" and images.shape == (20, *MNIST)
        np.testing.assert_array_equal(np.round(images[:, 0, 0, 0] * 255), labels)
    drawn.epoch = 1
    assert not np.array_equal(drawn[0][1], seen[0][1])


def test_epochs_of_other_lengths_go_through_the_same_batches() -> None:
    by_passes, by_steps = batches(seed=1), batches(seed=1, steps=3)
    by_passes.epoch, by_steps.epoch = 1, 2  # number 6 is step 2 of pass 1, and step 0 of epoch 2
    np.testing.assert_array_equal(by_passes[2][0], by_steps[0][0])


def test_a_batch_is_augmented_by_its_number_alone() -> None:
    drawn, again = (batches(seed=1, augment=augmentation(mirrored=True)) for _ in range(2))
    last = drawn[2][0]
    again[0], again[1]
    np.testing.assert_array_equal(again[2][0], last)
    assert not np.allclose(last, batches(seed=1)[2][0])


def test_a_seed_may_be_as_large_as_it_likes() -> None:
    states = batches(seed=2**70 + 3, augment=augmentation(mirrored=True)).random_states(1)
    np.testing.assert_array_equal(states, [[6, 16], [7, 16]])


def test_augmentation_shifts_by_a_tenth_at_most_and_mirrors_only_where_told() -> None:
    dot = np.zeros((400, 20, 20, 1), "uint8")
    dot[:, 8:12, 2:6] = 255  # its middle is at row 10, column 4
    for mirrored in (False, True):
        layers_ = augmentation(mirrored)
        images, _ = Batches(dot, np.zeros(400), batch_size=400, augment=layers_)[0]
        weights = images[..., 0] / images.sum((1, 2, 3))[:, np.newaxis, np.newaxis]
        rows = (weights.sum(2) * (np.arange(20) + 0.5)).sum(1)
        columns = (weights.sum(1) * (np.arange(20) + 0.5)).sum(1)
        assert np.abs(rows - 10).max() <= 2.01 and np.abs(rows - 10).max() > 1.5
        flipped = columns > 10
        assert np.abs(np.where(flipped, 20 - columns, columns) - 4).max() <= 2.01
        assert 0.4 < flipped.mean() < 0.6 if mirrored else not flipped.any()


# resuming


def test_a_run_that_was_killed_ends_like_one_that_was_not(tmp_path: Path) -> None:
    """It was backed up behind its first epoch, and not again so soon behind the second."""
    data, folder = write_data(tmp_path, "mnist"), tmp_path / "killed"
    killed = run_apart(KILLED, data, folder)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [epoch["epoch"] for epoch in json.loads((folder / "history.json").read_text())] == [1, 2]
    assert read_json(folder / "backup" / "training_metadata.json")["epoch"] == 1
    assert not (folder / "model.keras").exists()

    resumed, whole = trained(data, folder), trained(data, tmp_path / "whole")
    for ours, theirs in zip(resumed.weights, whole.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    histories = [read_json(path / "history.json") for path in (folder, tmp_path / "whole")]
    assert [epoch["epoch"] for epoch in histories[0]] == [1, 2, 3]
    losses = [[epoch["loss"] for epoch in history] for history in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert not (folder / "backup").exists()


# whole epochs


def histories(data: Path, folder: Path) -> list[list[list[float]]]:
    """Each epoch's numbers where Keras takes batches, and where it takes whole epochs."""
    found = []
    for whole in (False, True):
        settings = replace(SETTINGS, data="cifar10", whole_epochs=whole)  # photos are mirrored, too
        training.train(settings, small, read("mnist", data), folder / str(whole))
        history = read_json(folder / str(whole) / "history.json")
        found.append([[epoch[key] for key in NUMBERS] for epoch in history])
    return found


def test_an_epoch_as_one_program_learns_what_its_batches_do(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    done = run_apart(WHOLE, write_data(tmp_path, "mnist"), tmp_path, backend="jax")
    assert done.returncode == 0, done.stderr
    by_batches, by_epochs = json.loads(done.stdout.splitlines()[-1])
    assert len(by_epochs) == SETTINGS.epochs
    np.testing.assert_allclose(by_epochs, by_batches, rtol=1e-4)


def test_whole_epochs_need_jax_and_leave_no_trace_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    images = read("mnist", write_data(tmp_path, "mnist"))
    with pytest.raises(Refusal, match="this is tensorflow: set KERAS_BACKEND=jax"):
        training.train(replace(SETTINGS, whole_epochs=True), small, images, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# sharing


def losses_with_and_without(share, data: Path, folder: Path) -> list[list[float]]:
    """The losses of three epochs on one device and on two, where nothing is random."""

    def build() -> keras.Model:
        ends = [layers.Flatten(), layers.Dense(10, activation="softmax")]
        conv = layers.Conv2D(4, 5, strides=4, activation="relu")
        return keras.Sequential([keras.Input(MNIST), conv, *ends])

    owner = share.__self__  # a MirroredStrategy of TensorFlow's, or a DataParallel of Keras'
    devices = getattr(owner, "num_replicas_in_sync", None) or owner.device_mesh.devices.size
    assert devices == 2
    losses = []
    for name, options in (("one", {}), ("two", {"scope": share})):
        training.train(SETTINGS, build, read("mnist", data), folder / name, **options)
        history = read_json(folder / name / "history.json")
        losses.append([epoch[key] for epoch in history for key in ("loss", "val_loss")])
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_that_share_each_batch_learn_what_one_does(
    backend: str, tmp_path: Path
) -> None:
    pytest.importorskip(backend)
    shared = run_apart(SHARED, write_data(tmp_path, "mnist"), tmp_path, backend=backend)
    assert shared.returncode == 0, shared.stderr
    one, two = json.loads(shared.stdout.splitlines()[-1])
    assert two == pytest.approx(one, rel=1e-4)
    assert one[-2] < one[0]


# networks


@pytest.mark.parametrize(
    ("network", "shape", "parameters"),
    [
        ("cnn", MNIST, 98_442),
        ("fcn", MNIST, 74_362),
        ("cnn", CIFAR10, 553_514),
        ("fcn", CIFAR10, 79_184),
        ("all-cnn-c", CIFAR10, 1_369_738),
        ("strided-cnn-c", CIFAR10, 954_730),
    ],
)
def test_networks_have_as_many_parameters_as_published(
    network: str, shape: tuple[int, int, int], parameters: int
) -> None:
    model = architectures.NETWORKS[network](shape, 10)
    assert model.count_params() == parameters
    assert model.output_shape == (None, 10)


def test_an_fcn_is_all_convolutional_and_starts_from_weights_of_its_own() -> None:
    model = architectures.fcn(MNIST)
    assert allconv.is_all_convolutional(model)
    kernel = keras.ops.convert_to_numpy(model.get_layer("pool1").kernel)
    assert np.unique(kernel).size > kernel.size - 10  # that of a mean is full of zeros


def test_all_cnn_c_ends_in_a_mean_over_6x6_as_in_the_paper() -> None:
    sizes = [layer.output.shape[1:3] for layer in architectures.all_cnn_c(CIFAR10).layers]
    convs = [size for size in sizes if len(size) == 2]
    assert convs[0] == (32, 32) and convs[-1] == (6, 6)
    assert set(convs) == {(32, 32), (16, 16), (8, 8), (6, 6)}


def test_strided_cnn_c_is_what_the_conversion_makes_of_model_c() -> None:
    model_c = keras.Sequential([keras.Input(CIFAR10)])
    for filters in (96, 192):
        for _ in range(2):
            model_c.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model_c.add(layers.MaxPooling2D(3, strides=2, padding="same"))
    for filters, size in ((192, 3), (192, 1), (10, 1)):
        model_c.add(layers.Conv2D(filters, size, activation="relu"))
    model_c.add(layers.GlobalAveragePooling2D())
    converted = allconv.convert(model_c, pooling="stride")
    ours, theirs = (
        [
            (layer.kernel.shape, layer.strides)
            for layer in model.layers
            if type(layer) is layers.Conv2D
        ]
        for model in (architectures.strided_cnn_c(CIFAR10), converted)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 1), (1999, 1), (2001, 0.1), (2501, 0.01), (3001, 1e-3)]
)
def test_the_rate_of_all_cnn_falls_to_a_tenth_three_times(step: int, rate: float) -> None:
    schedule = architectures.optimizer("all-cnn-c", 3500, 1.0)._learning_rate
    assert float(schedule(step)) == pytest.approx(rate)
