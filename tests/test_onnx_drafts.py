"""A file, and the file of its weights if it has one, is complete in its place or not there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from allconv.errors import ExportError, FileError
from allconv.export.file.draft import Draft, drafted
from allconv.export.file.external_data import PAGE, data_file
from tests.helpers.onnx_drafts import onnx_model, run_file

OPERATORS = "Conv image kernel", "Add layer0/Conv bias", "Mul layer1/Add few"


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a message hold a thousand bytes of weights, and place tensors of 64 bytes outside."""
    monkeypatch.setattr("allconv.export.file.external_data.MOST_BYTES", 1000)
    monkeypatch.setattr("allconv.export.file.external_data.SMALLEST", 64)


def weights(filters: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(filters)
    return {
        "kernel": rng.normal(size=(filters, 2, 3, 3)).astype("float32"),
        "bias": rng.normal(size=(filters, 1, 1)).astype("float32"),
        "few": np.float32([0.5]),
    }


def write(draft: Draft, constants: dict[str, np.ndarray], name: str = "") -> onnx.ModelProto:
    def make(tensors):
        model = onnx_model(constants, *OPERATORS)
        del model.graph.initializer[:]
        model.graph.initializer.extend(tensors(constants))
        return model

    return draft.write(make, name)


def place(path: Path, constants: dict[str, np.ndarray]) -> None:
    with drafted(path) as draft:
        write(draft, constants)
        draft.check()
        draft.put_in_place()


def outputs(path: Path) -> np.ndarray:
    return run_file(path, np.ones((1, 2, 4, 4), "float32"))[0]


def test_weights_that_fit_are_in_the_file(tmp_path):
    path = tmp_path / "model.onnx"
    place(path, weights())
    assert os.listdir(tmp_path) == ["model.onnx"]
    np.testing.assert_array_equal(outputs(path).shape, (1, 40, 2, 2))


def test_weights_that_do_not_fit_are_beside_it_and_are_the_same(tmp_path, small_messages):
    path = tmp_path / "model.onnx"
    place(path, weights())
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "model.onnx.data"]
    assert path.stat().st_size < 1000
    found = {each.name: each for each in onnx.load(path).graph.initializer}
    for name, values in weights().items():
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(found[name]), values)


def test_both_forms_compute_the_same(tmp_path, monkeypatch):
    place(tmp_path / "inside.onnx", weights())
    monkeypatch.setattr("allconv.export.file.external_data.MOST_BYTES", 1000)
    place(tmp_path / "outside.onnx", weights())
    np.testing.assert_array_equal(
        outputs(tmp_path / "inside.onnx"), outputs(tmp_path / "outside.onnx")
    )


def test_tensors_outside_begin_at_pages_and_small_ones_stay(tmp_path, small_messages):
    path = tmp_path / "model.onnx"
    place(path, weights())
    model = onnx.load(path, load_external_data=False)
    places = {
        each.name: {entry.key: entry.value for entry in each.external_data}
        for each in model.graph.initializer
    }
    assert places == {
        "kernel": {"location": "model.onnx.data", "offset": "0", "length": str(40 * 18 * 4)},
        "bias": {"location": "model.onnx.data", "offset": str(PAGE), "length": "160"},
        "few": {},
    }
    assert data_file(path).stat().st_size == PAGE + 160


def test_the_size_counts_both_files(tmp_path, small_messages):
    with drafted(tmp_path / "model.onnx") as draft:
        write(draft, weights())
        assert draft.weights_file() == "model.onnx.data"
        assert draft.size() == draft.file.stat().st_size + data_file(draft.file).stat().st_size


def test_a_file_that_was_made_elsewhere_is_taken_with_its_weights(tmp_path, small_messages):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place(elsewhere / "other.onnx", weights())
    expected = outputs(elsewhere / "other.onnx")
    with drafted(tmp_path / "model.onnx") as draft:
        draft.take(elsewhere / "other.onnx")
        draft.check()
        draft.put_in_place()
    assert not data_file(elsewhere / "other.onnx").exists()
    np.testing.assert_array_equal(outputs(tmp_path / "model.onnx"), expected)


def test_a_draft_that_is_left_leaves_nothing_and_an_older_file_as_it_was(tmp_path, small_messages):
    path = tmp_path / "model.onnx"
    place(path, weights(40))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ExportError), drafted(path) as draft:
        write(draft, weights(50))
        raise ExportError("something differs")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def let_fail_to_replace(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the disk was full once a file is to be put at a path."""
    replace = os.replace

    def fails_for_the_file(source, target):
        if Path(target) == path:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_for_the_file)


def test_where_the_last_step_fails_the_older_weights_come_back(
    tmp_path, small_messages, monkeypatch
):
    path = tmp_path / "model.onnx"
    place(path, weights(40))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    let_fail_to_replace(path, monkeypatch)
    with pytest.raises(FileError, match=r"model\.onnx: cannot be written: No space left"):
        place(path, weights(50))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_where_the_last_step_fails_new_weights_do_not_stay(tmp_path, small_messages, monkeypatch):
    path = tmp_path / "model.onnx"
    let_fail_to_replace(path, monkeypatch)
    with pytest.raises(FileError):
        place(path, weights())
    assert not list(tmp_path.iterdir())


def test_newer_weights_take_the_place_of_older_ones(tmp_path, small_messages):
    path = tmp_path / "model.onnx"
    place(path, weights(40))
    place(path, weights(50))
    assert outputs(path).shape == (1, 50, 2, 2)
    assert len(os.listdir(tmp_path)) == 2


def test_a_link_stays_a_link_to_the_new_file(tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "model.onnx", tmp_path / "link.onnx"
    place(real, weights(40))
    link.symlink_to(real)
    place(link, weights(50))
    assert link.is_symlink()
    assert outputs(real).shape == (1, 50, 2, 2)


def test_what_the_checker_refuses_is_an_error_that_says_why(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ExportError) as caught, drafted(path) as draft:
        model = write(draft, weights())
        model.graph.node[0].op_type = "Nonsense"
        draft.file.write_bytes(model.SerializeToString())
        draft.check()
    assert str(caught.value).startswith(f"{path}: ONNX' checker refuses it: ")
    assert "Nonsense" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileError, match="cannot be written: No such file"):
        place(tmp_path / "missing" / "model.onnx", weights())
