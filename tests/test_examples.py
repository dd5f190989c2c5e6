"""The examples end to end on a few images: their files, what they refuse, what they claim."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import architectures
import comparison
import data_sets
import distributed
import evaluation
import keras
import numpy as np
import pytest
import results
import shapes
import study
import sweep
import timing
import training
from keras import layers
from refusal import Refusal, status_of

from tests.helpers.example_data import drawn_arrays, write_data

ROOT = Path(__file__).parents[1]
OF_A_RUN = {
    "settings.json",
    "history.json",
    "history.png",
    "metrics.json",
    "predictions.npy",
    "confusion.png",
    "gallery.png",
    "model.keras",
}
SHORT = ["--epochs", "1", "--steps-per-epoch", "2", "--batch-size", "8"]


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ROUNDS", 2)
    monkeypatch.setattr(comparison, "WORK", (("predict_on_batch", 8), ("train_on_batch", 8)))
    monkeypatch.setattr(evaluation, "ROUNDS", 2)
    monkeypatch.setattr(evaluation, "BATCH_SIZES", (8,))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the `main` of an example with a command line; gives the exit status."""

    def run(main: Any, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["example", *map(str, arguments)])
        return status_of(main)

    return run


def mnist() -> int:
    return study.main("mnist", epochs=3, batch_size=128)


def cifar10() -> int:
    return study.main("cifar10", epochs=1, batch_size=8, augment=True)


def no_training(*arguments: object) -> None:
    raise AssertionError("a finished run is trained again")


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# end to end


def test_mnist_trains_compares_converts_and_does_nothing_twice(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = write_data(tmp_path, "mnist"), tmp_path / "out"
    arguments = ("--data", data, "--out", out, "--network", "cnn", "fcn", "--seeds", 0, *SHORT)
    assert command(mnist, *arguments) == 0
    printed = capfd.readouterr().out
    assert "| cnn against fcn, seed 0 |" in printed
    assert "| train, batches of 8 " in printed
    assert "argmax equal on 40 of 40" in printed
    assert "predicted classes: 40 of 40 are equal" in printed
    assert files_in(out) == {"cnn-0", "fcn-0", "summary.json"}
    assert files_in(out / "cnn-0") == files_in(out / "fcn-0") == OF_A_RUN
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.glob("*/*.png"))

    metrics = json.loads((out / "cnn-0" / "metrics.json").read_text())
    labels = drawn_arrays("mnist")["y_test"]
    predicted = np.load(out / "cnn-0" / "predictions.npy")
    assert metrics["parameters"] == 98_442
    assert metrics["test_accuracy"] == np.mean(predicted == labels)
    assert np.sum(metrics["confusion"]) == 40
    assert np.trace(metrics["confusion"]) == np.sum(predicted == labels)
    assert metrics["versions"]["keras"] == keras.__version__
    assert metrics["settings"]["seed"] == 0

    monkeypatch.setattr(training, "fit", no_training)
    before = (out / "fcn-0" / "metrics.json").read_bytes()
    assert command(mnist, "--data", data, "--out", out, "--network", "fcn", *SHORT) == 0
    assert (out / "fcn-0" / "metrics.json").read_bytes() == before


def test_cifar10_trains_a_converted_network_with_augmentation(command: Any, tmp_path: Path) -> None:
    data, out = write_data(tmp_path, "cifar10"), tmp_path / "out"
    assert command(cifar10, "--data", data, "--out", out, "--pooling", "stride", *SHORT) == 0
    assert files_in(out / "cnn-stride-0") == OF_A_RUN
    assert json.loads((out / "cnn-stride-0" / "settings.json").read_text())["augment"] is True
    model = keras.saving.load_model(out / "cnn-stride-0" / "model.keras")
    assert not any(isinstance(layer, layers.MaxPooling2D) for layer in model.layers)


def test_a_sweep_writes_one_table_for_each_choice_and_shares_what_they_have_in_common(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sweep.SWEEPS, "padding", {"same": {}})
    monkeypatch.setitem(sweep.SWEEPS, "depth", {"1": {"filters": (16,)}, "3": {}})
    data, out = write_data(tmp_path, "mnist"), tmp_path / "out"
    arguments = ("--data", data, "--out", out, "--vary", "padding", "depth", *SHORT)
    assert command(sweep.main, *arguments) == 0
    printed = capfd.readouterr().out
    assert "| padding |" in printed and "| depth |" in printed
    found = json.loads((out / "sweep.json").read_text())
    assert list(found["padding"]) == ["same"] and list(found["depth"]) == ["1", "3"]
    assert found["padding"]["same"] == found["depth"]["3"]
    assert found["depth"]["3"]["parameters"] == 98_442
    # Of depth 1 by hand: 16 3x3 kernels and biases, then Dense of 14x14x16 values, 128 and 10.
    assert found["depth"]["1"]["parameters"] == 160 + (3136 + 1) * 128 + 129 * 10
    assert len([path for path in out.iterdir() if path.is_dir()]) == 2


def test_shapes_are_drawn_learnt_and_mapped(
    command: Any, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    arguments = ("--out", tmp_path, "--task", "both", "--images", 32, *SHORT)
    assert command(shapes.main, *arguments) == 0
    assert files_in(tmp_path) == {"both-fcn-0", "summary.json", "class_map.png"}
    assert files_in(tmp_path / "both-fcn-0") == OF_A_RUN
    printed = capfd.readouterr().out
    assert "| both |" in printed
    assert "a scene of 144x144 pixels, a class map of 15x15 cells: " in printed


# what is refused


def test_a_folder_with_a_run_of_other_settings_is_refused(tmp_path: Path) -> None:
    settings = training.Settings("mnist", "cnn", seed=0, epochs=3, batch_size=8)
    training.hold_to(settings, tmp_path)
    training.hold_to(settings, tmp_path)
    other = training.Settings("mnist", "cnn", seed=0, epochs=5, batch_size=8)
    with pytest.raises(Refusal) as caught:
        training.hold_to(other, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds a run with epochs 3, not 5\nName another folder, or delete this one."
    )


def test_a_run_from_before_a_setting_existed_is_one_with_its_default(tmp_path: Path) -> None:
    settings = training.Settings("mnist", "cnn", seed=0, epochs=3, batch_size=8)
    older = {key: value for key, value in vars(settings).items() if key != "whole_epochs"}
    (tmp_path / "settings.json").write_text(json.dumps(older))
    training.hold_to(settings, tmp_path)
    with pytest.raises(Refusal, match="with whole_epochs False, not True"):
        training.hold_to(replace(settings, whole_epochs=True), tmp_path)


def test_without_network_and_data_one_message_says_what_to_do(
    command: Any, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline() -> None:
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    assert command(mnist, "--out", tmp_path) == 2
    assert capfd.readouterr().err == (
        "error: no mnist: URL fetch failure\n"
        "Connect to the network once, or name a folder that holds mnist.npz: --data FOLDER\n"
    )


def test_a_folder_without_the_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"mnist\.npz does not exist; --data names the folder"):
        data_sets.read("mnist", tmp_path)


@pytest.mark.parametrize("damage", ["noise", "half"])
def test_a_damaged_file_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    path = write_data(tmp_path, "mnist") / "mnist.npz"
    whole = path.read_bytes()
    path.write_bytes(b"not a zip file" if damage == "noise" else whole[: len(whole) // 2])
    with pytest.raises(Refusal, match=r"mnist\.npz does not read as \.npz: "):
        data_sets.read("mnist", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": None}, "no array x_test; a file of mnist holds x_train, y_train, x_test, y_te"),
        ({"x_train": np.zeros((96, 28, 28))}, "x_train is float64 (96, 28, 28); expected were byt"),
        ({"x_test": np.zeros((40, 32, 32, 3), "uint8")}, "x_test is uint8 (40, 32, 32, 3); expect"),
        ({"y_test": np.zeros(7, "uint8")}, "y_test is uint8 (7,); expected was one whole number"),
        ({"y_test": np.full(40, 11, "uint8")}, "y_test has classes 11 to 11; expected were 0 to 9"),
    ],
    ids=["missing", "no bytes", "other shape", "too few", "no class"],
)
def test_a_file_with_other_arrays_is_refused(
    change: dict[str, np.ndarray | None], message: str, tmp_path: Path
) -> None:
    arrays = {
        key: value for key, value in (drawn_arrays("mnist") | change).items() if value is not None
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(Refusal) as caught:
        data_sets.read("mnist", tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        change
        for name, values in sweep.SWEEPS.items()
        if name != "epochs"
        for change in values.values()
    ],
    ids=str,
)
def test_every_value_of_a_sweep_is_a_network(change: dict[str, Any]) -> None:
    for shape in data_sets.IMAGE_SHAPES.values():
        assert architectures.cnn(shape, **change).output_shape == (None, 10)


def test_whole_epochs_are_not_shared_among_devices(
    command: Any, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(mnist, "--whole-epochs", "--distribute")
    assert "--whole-epochs keeps all images on one device" in capfd.readouterr().err


def test_pooling_is_refused_where_no_pool_is_left(
    command: Any, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(mnist, "--network", "fcn", "--pooling", "conv")
    assert "of these networks only cnn has any" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "0", "'0' is no whole number from 1"),
        ("--seeds", "-1", "'-1' is no whole number from 0"),
        ("--batch-size", "many", "'many' is no whole number from 1"),
        ("--learning-rate", "nan", "'nan' is no number above 0"),
        ("--learning-rate", "fast", "'fast' is no number above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    option: str, value: str, message: str, command: Any, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command(mnist, option, value)
    assert message in capfd.readouterr().err


def test_distributing_is_refused_where_keras_has_no_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(Refusal, match="needs Keras on TensorFlow or JAX, and this is torch"):
        distributed.scope_of_devices()


# what is computed


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (0, 10, 2 / 1024), (1, 5, 2 * (1 + 6) / 64), (900, 1100, 8.5e-6)],
)
def test_mcnemar_is_a_toss_of_a_coin_for_each_image_that_one_gets_right(
    only_first: int, only_second: int, p: float
) -> None:
    # 100 images both get right, 50 neither; the last p is that of the normal distribution:
    # z = (1100 - 1000 - 0.5) / sqrt(500) = 4.450.
    first = np.array([1] * 100 + [0] * 50 + [1] * only_first + [0] * only_second, bool)
    second = np.array([1] * 100 + [0] * 50 + [0] * only_first + [1] * only_second, bool)
    found = results.mcnemar(first, second)
    assert (found["only_first_right"], found["only_second_right"]) == (only_first, only_second)
    assert found["p"] == pytest.approx(p, rel=0.02 if only_first == 900 else 1e-12)


def test_a_spread_is_mean_sample_deviation_and_range() -> None:
    assert results.spread([0.2, 0.4, 0.9]) == pytest.approx(
        {"mean": 0.5, "sd": np.sqrt((0.09 + 0.01 + 0.16) / 2), "least": 0.2, "most": 0.9}
    )
    assert results.spread([0.7])["sd"] == 0


def test_a_confusion_matrix_has_classes_in_rows_and_predictions_in_columns() -> None:
    counts = results.confusion(np.array([0, 0, 2]), np.array([0, 1, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_a_ratio_is_that_of_neighbouring_runs() -> None:
    assert timing.ratio([2, 3, 40], [1, 1, 10]) == pytest.approx((3, 2.5, 3.5))


@pytest.mark.slow
@pytest.mark.skipif("ALLCONV_DATA" not in os.environ, reason="ALLCONV_DATA names no folder")
def test_one_epoch_of_mnist_reads_digits_and_converts_exactly(command: Any, tmp_path: Path) -> None:
    data = os.environ["ALLCONV_DATA"]
    assert command(mnist, "--data", data, "--out", tmp_path, "--epochs", 1) == 0
    assert json.loads((tmp_path / "cnn-0" / "metrics.json").read_text())["test_accuracy"] > 0.96
