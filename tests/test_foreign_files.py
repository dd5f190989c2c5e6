"""Files that are no Keras model are told by their content, in one line with the way on."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import allconv
from allconv.errors import FileError
from tests.test_cli import error_of


def field(number: int, value: int | bytes) -> bytes:
    """A field of a message of Protocol Buffers, small enough for numbers of one byte."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def packed(**members: bytes) -> bytes:
    """A zip archive; `__` in a name stands for a slash, `_` for a dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.h5"), io.BytesIO())
    return buffer.getvalue()


def saved(save: Callable[..., object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, np.ones(3))
    return buffer.getvalue()


NODE = field(1, b"input") + field(2, b"Placeholder")
ONNX = field(1, 8) + field(2, b"tf2onnx") + field(5, 0) + field(7, NODE) + field(8, b"\x10\x12")
FROM_KERAS = "give the Keras model that it was made from, saved by model.save('model.keras')"
UNPACK = "unpack it and give the .keras or .h5 file in it"
WITHOUT_LAYERS = "arrays have no layers; give the model, saved by model.save('model.keras')"
OF_PYTORCH = (
    "a file of PyTorch; allconv reads Keras models; rebuild the model in Keras and copy its weights"
)
OF_PICKLE = (
    "a pickle of Python; allconv opens no pickle, since that runs code; if you trust it, load it "
    "and save the model by model.save('model.keras')"
)
PAGE = (
    "an HTML page, not the file itself; download the file by its own link (on GitHub, 'Raw' "
    "or 'Download')"
)

FILES = {
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
        "a Git LFS pointer, not the file itself; run 'git lfs pull' where it was cloned",
    ),
    "annex": (
        b"/annex/objects/SHA256E-s1--0.h5\n",
        "a git-annex pointer, not the file itself; run 'git annex get' on it",
    ),
    "page": (b"<!DOCTYPE html><html>404</html>", PAGE),
    "page with a mark": (b"\xef\xbb\xbf\n <HTML lang='en'>", PAGE),
    "error": (b"404: Not Found", "an error page of a server, not the file itself; download"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(64), f"a TensorFlow Lite file; {FROM_KERAS}"),
    "onnx": (ONNX, f"an ONNX file; {FROM_KERAS}"),
    "frozen": (field(1, NODE), f"a frozen graph of TensorFlow (.pb); {FROM_KERAS}"),
    "saved_model": (
        field(1, 1) + field(2, NODE),
        f"the saved_model.pb of a SavedModel folder of TensorFlow; {FROM_KERAS}",
    ),
    "torch": (packed(archive__data_pkl=b"", archive__version=b"3"), OF_PYTORCH),
    "old torch": (pickle.dumps(0x1950A86A20F9469CFC6C, 2), OF_PYTORCH),
    "npz": (saved(lambda file, values: np.savez(file, a=values)), "arrays of NumPy (.npz); "),
    "npy": (saved(np.save), f"an array of NumPy (.npy); {WITHOUT_LAYERS}"),
    **{f"pickle {n}": (pickle.dumps({"a": [1]}, n), OF_PICKLE) for n in (0, 2, 4, 5)},
    "tar": (tarred(), f"a tar archive; {UNPACK}"),
    "gzip": (gzip.compress(b"model"), f"packed by gzip; {UNPACK}"),
    "bzip2": (bz2.compress(b"model"), f"packed by bzip2; {UNPACK}"),
    "xz": (lzma.compress(b"model"), f"packed by xz; {UNPACK}"),
    "zip": (packed(models__cnn_h5=b""), "a zip archive that holds 'models/cnn.h5'; unpack it"),
    "safetensors": (b"\x40" + bytes(7) + b'{"a": 1}', "a safetensors file, weights without layers"),
    "tfjs": (b'{"format": "layers-model"}', f"a model of TensorFlow.js; {FROM_KERAS}"),
    "matlab": (b"MATLAB 7.3 MAT-file", f"a MAT-file of MATLAB; {WITHOUT_LAYERS}"),
    "picture": (b"\x89PNG\r\n\x1a\n", "a picture, not a model; give a .keras or .h5 file"),
    "checkpoint": (b'model_checkpoint_path: "ckpt"', "the list of a TensorFlow checkpoint"),
    "empty": (b"", "the file is empty; get it again"),
    "zeros": (bytes(99), "neither of the two kinds of model file, it begins with b'\\x00"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_file_is_told_by_its_content_whatever_it_is_called(tmp_path, kind, name):
    content, message = FILES[kind]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        allconv.report(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def every_command(path: str | Path, tmp_path: Path) -> list[str]:
    """What each command says of a file in the place of a model."""
    onnx, keras = tmp_path / "out.onnx", tmp_path / "out.keras"
    commands = [
        ("report", path),
        ("check", path),
        ("convert", path, "-o", keras),
        ("convert", path, "--dry-run"),
        ("export", path, "-o", onnx),
        ("verify", path, path),
    ]
    said = [error_of(*command) for command in commands]
    assert not onnx.exists() and not keras.exists()
    return said


def test_every_command_and_every_function_says_so(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(FILES["lfs"][0])
    message = f"{path}: {FILES['lfs'][1]}"
    assert set(every_command(path, tmp_path)) == {message}
    for function in (allconv.report, allconv.check, allconv.convert, allconv.geometry):
        with pytest.raises(FileError) as caught:
            function(str(path))
        assert str(caught.value) == message
    with pytest.raises(FileError) as caught:
        allconv.export_onnx(path, tmp_path / "out.onnx")
    assert str(caught.value) == message


FOLDERS = {
    "SavedModel of Keras 2": (
        ("saved_model.pb", "keras_metadata.pb"),
        "a SavedModel folder of TensorFlow; load it by tf_keras.models.load_model(FOLDER), and "
        "give what .save('model.h5') writes",
    ),
    "SavedModel": (("saved_model.pb",), f"a SavedModel folder of TensorFlow; {FROM_KERAS}"),
    "unpacked": (
        ("config.json", "metadata.json", "model.weights.h5"),
        "a .keras file that was unpacked; pack what is in it again: zip -0 ../model.keras *",
    ),
    "one model": (("README.md", "cnn.h5"), "is a folder; give the file 'cnn.h5' in it"),
    "any": (("a.h5", "b.h5"), "is a folder; expected a .keras or .h5 file"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_is_told_by_what_is_in_it(tmp_path, kind):
    names, message = FOLDERS[kind]
    folder = tmp_path / "model.keras"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    with pytest.raises(FileError) as caught:
        allconv.report(folder)
    assert str(caught.value) == f"{folder}: {message}"


def test_a_folder_that_was_unpacked_is_a_model_again_as_the_message_says(tmp_path):
    from tests.helpers.networks import mnist_cnn

    whole, again = tmp_path / "model.keras", tmp_path / "again.keras"
    mnist_cnn().save(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(again, "w") as new:
        for name in sorted(old.namelist()):
            new.writestr(name, old.read(name))
    assert str(allconv.report(again)) == str(allconv.report(whole))


@pytest.mark.parametrize("url", ["https://example.org/model.h5", "s3://bucket/model.keras"])
def test_a_url_is_to_be_downloaded_first(tmp_path, url):
    message = f"{url}: is a URL; download the file first, and give its path"
    assert set(every_command(url, tmp_path)) == {message}
    with pytest.raises(FileError) as caught:
        allconv.convert(url)
    assert str(caught.value) == message


def test_a_url_of_a_file_here_is_its_path():
    with pytest.raises(FileError) as caught:
        allconv.report("file:///models/cnn.h5")
    assert str(caught.value).endswith("is a URL; give the path alone, /models/cnn.h5")


def test_a_file_with_a_colon_in_its_name_is_no_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run:").mkdir()
    (tmp_path / "run:" / "model.h5").write_bytes(FILES["npy"][0])
    with pytest.raises(FileError, match=r"run:/model\.h5: an array of NumPy"):
        allconv.report("run:/model.h5")


def test_what_is_given_as_a_description_is_told_too(tmp_path):
    weights, config = tmp_path / "weights.h5", tmp_path / "model.json"
    weights.touch()
    config.write_bytes(FILES["page"][0])
    with pytest.raises(FileError) as caught:
        allconv.report(allconv.ModelFile(weights, config))
    assert str(caught.value) == f"{config}: expected the JSON of model.to_json(); it is {PAGE}"


def test_a_real_onnx_file_is_told(tmp_path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [value], [value])
    path = tmp_path / "model.h5"
    for model in (
        onnx.helper.make_model(graph),
        onnx.helper.make_model(graph, producer_name="someone", doc_string="words " * 90),
    ):
        path.write_bytes(model.SerializeToString())
        with pytest.raises(FileError, match="an ONNX file; give the Keras model"):
            allconv.report(path)
