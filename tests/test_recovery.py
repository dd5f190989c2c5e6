"""The benchmark of label-free recovery: its test of significance, and that a killed run goes on."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recovery(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("recovery")


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 0, 1.0), (0, 5, 2 / 32), (8, 2, 2 * 56 / 1024)],
)
def test_mcnemar_counts_the_tosses_of_a_coin(recovery, lost, won, p):
    assert recovery.mcnemar(lost, won) == pytest.approx(p)
    assert recovery.mcnemar(won, lost) == pytest.approx(p)


def test_mcnemar_takes_as_many_images_as_there_are(recovery):
    assert recovery.mcnemar(5000, 5000) == 1.0
    assert 0 < recovery.mcnemar(4800, 5200) < 1e-4


def test_the_table_has_mean_and_spread_over_the_seeds(recovery):
    rows = [
        {"network": "cnn", "stage": stage, "seed": seed, "accuracy": accuracy, "p": 0.5}
        | {"seconds": 2.0 + 2 * seed, "processor_seconds": 4.0 + 4 * seed}
        for seed, points in enumerate([(0.8, 0.7), (0.9, 0.7)])
        for stage, accuracy in zip(("original", "converted"), points, strict=True)
    ]
    original, converted = recovery.summary(rows)
    assert original[:5] == ("cnn", "original", "85.00", "7.07", "")
    assert converted[2:5] == ("70.00", "0.00", "-15.00")
    assert converted[-2:] == ("3", "6")
    assert recovery.as_markdown(rows).count("\n") == 4


def test_finished_rows_are_kept_and_no_data_is_one_clear_message(
    recovery, tmp_path, monkeypatch, capsys
):
    work, data = tmp_path / "work", tmp_path / "data"
    work.mkdir()
    row = {"network": "mnist_cnn", "stage": "original", "seed": 0, "accuracy": 0.9, "p": 1.0}
    (work / "mnist_cnn-0.json").write_text(
        json.dumps([row | {"seconds": 0.0, "processor_seconds": 0.0}])
    )
    words = ["recovery", "--data", str(data), "--work", str(work), "--networks", "mnist_cnn"]
    monkeypatch.setattr("sys.argv", [*words, "--seeds", "0", "--json", str(tmp_path / "out.json")])
    assert recovery.main() == 2
    assert f"error: no mnist.npz in {data}" in capsys.readouterr().err
    data.mkdir()
    images, labels = np.zeros((2, 28, 28), "uint8"), np.zeros(2)
    np.savez(data / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert recovery.main() == 0
    assert "90.00" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["rows"][0]["accuracy"] == 0.9
