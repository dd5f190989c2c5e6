"""Files made to do harm: none runs code, leads out of itself, hangs or fills the memory."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import marshal
import os
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

import allconv
from allconv.cli.commands import main
from allconv.errors import AllconvError, ConversionError, FileError, ModelError
from tests.helpers import networks

SECONDS, MEGABYTES = 2, 500
"""What the reading of one file may take, beyond what the process has taken already."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A model that nothing is wrong with."""
    path = tmp_path_factory.mktemp("whole") / "model.keras"
    networks.mnist_cnn().save(path)
    return path


@pytest.fixture(scope="module")
def whole_h5(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "model.h5"
    networks.mnist_cnn().save(path)
    return path


def with_members(path: Path, whole: Path, **members: bytes) -> Path:
    """An archive with some members changed; `_` in a keyword stands for a dot."""
    changed = {name.replace("_", "."): content for name, content in members.items()}
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name, old.read(name)))
    return path


def described(whole: Path) -> dict:
    return json.loads(zipfile.ZipFile(whole).read("config.json"))


def with_layer(path: Path, whole: Path, position: int, **changes: object) -> Path:
    """The model with another description of one of its layers."""
    config = described(whole)
    config["config"]["layers"][position] |= changes
    return with_members(path, whole, config_json=json.dumps(config).encode())


LIMITED = """
import resource, sys, time
import allconv, h5py
from allconv.errors import AllconvError
held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {megabytes} * 2**20,) * 2)
start = time.perf_counter()
for act in (allconv.report, allconv.check, allconv.geometry):
    try:
        print("result", act(sys.argv[1]) and "")
    except AllconvError as error:
        print(type(error).__name__, str(error)[:300])
assert time.perf_counter() - start < {seconds}, time.perf_counter() - start
"""


def outcome(path: Path, seconds: float = 3 * SECONDS) -> list[str]:
    """What report, check and geometry say of a file, within bounds of time and memory."""
    code = LIMITED.format(megabytes=MEGABYTES, seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def refused_by_command_line(*words: object) -> str:
    """The one message of a command that ends with exit status 2 and prints nothing else."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert "Traceback" not in result.stderr
    return result.stderr


# Code


def canary(path: Path) -> object:
    """A function that leaves a file behind when it is called."""
    source = f"lambda x: __import__('pathlib').Path({str(path)!r}).touch() or x"
    return eval(source)


def marshalled(function) -> dict:
    """A function as Keras writes a Lambda's: its code, ready to be run."""
    code = base64.b64encode(marshal.dumps(function.__code__)).decode()
    return {"code": code, "defaults": None, "closure": None}


LAMBDAS = {
    "keras 3": lambda code: {"class_name": "__lambda__", "config": code},
    "keras 2": lambda code: [code["code"], None, None],
}


@pytest.mark.parametrize("form", LAMBDAS)
def test_the_code_of_a_lambda_is_not_run(form, whole, tmp_path):
    touched = tmp_path / "touched"
    function = LAMBDAS[form](marshalled(canary(touched)))
    config = {"name": "code", "function": function, "function_type": "lambda", "arguments": {}}
    path = with_layer(
        tmp_path / "m.keras", whole, 2, class_name="Lambda", module="keras.layers", config=config
    )
    assert any("code" in str(obstacle) for obstacle in allconv.report(path).obstacles)
    allconv.check(path)
    for strict in (True, False):
        with pytest.raises(ConversionError, match="Lambda"):
            allconv.convert(path, strict=strict)
    for words in (["convert", path, "-o", tmp_path / "o.keras"], ["verify", path, path]):
        assert "Lambda" in refused_by_command_line(*words)
    assert not touched.exists() and not (tmp_path / "o.keras").exists()


MODULES = [
    ("os", "system", ""),
    ("builtins", "eval", ""),
    ("subprocess", "Popen", ""),
    ("antigravity", "Layer", ""),
    ("keras.src.ops.antigravity", "Relu", ""),
    ("keras.layers", "TFSMLayer", ""),
    ("keras.layers", "Conv2D", "antigravity>Conv2D"),
    ("posix", "system", "keras>system"),
]


@pytest.mark.parametrize(("module", "class_name", "registered"), MODULES)
def test_no_module_is_imported_and_no_class_made_because_a_file_names_it(
    module, class_name, registered, whole, tmp_path
):
    path = with_layer(
        tmp_path / "m.keras",
        whole,
        2,
        module=module,
        class_name=class_name,
        registered_name=registered,
        config={"name": "evil", "command": f"touch {tmp_path}/touched", "filepath": "/etc"},
    )
    before = set(sys.modules)
    for strict in (True, False):
        with pytest.raises(AllconvError) as caught:
            allconv.convert(path, strict=strict)
        is_known = class_name in ("Relu", "Conv2D")  # then it is Keras' own, whatever is added
        assert is_known or ("evil" in str(caught.value) and caught.type is ConversionError)
    imported = {name for name in set(sys.modules) - before if name.partition(".")[0] != "keras"}
    assert "antigravity" not in sys.modules
    assert not any(name.endswith("antigravity") for name in imported)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("key", ["kernel_initializer", "activation", "kernel_regularizer", "dtype"])
def test_objects_in_settings_are_not_made_of_what_a_file_says(key, whole, tmp_path):
    config = described(whole)["config"]["layers"][1]["config"]
    evil = {"module": "os", "class_name": "system", "config": {"command": "touch x"}}
    path = with_layer(tmp_path / "m.keras", whole, 1, config={**config, key: evil})
    called: list[object] = []
    hook = os.system
    os.system = lambda *words: called.append(words)  # type: ignore[assignment]
    try:
        with contextlib.suppress(AllconvError):
            allconv.convert(path, strict=False)
    finally:
        os.system = hook
    assert not called


# Places


def test_members_of_an_archive_that_lead_out_of_it_are_not_unpacked(whole, tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    path = folder / "m.keras"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        for name in ("../out.txt", "/tmp/allconv-out.txt", "assets/../../out.txt"):
            new.writestr(name, "out")
    allconv.convert(path)
    assert sorted(os.listdir(tmp_path)) == ["inner"] and os.listdir(folder) == ["m.keras"]
    assert not Path("/tmp/allconv-out.txt").exists()


def moved_out(path: Path, whole_h5: Path, how) -> Path:
    """The model with the kernel of its first convolution somewhere else."""
    path.write_bytes(whole_h5.read_bytes())
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["kernel"] = np.ones((3, 3, 1, 16), "float32")
    raw = path.with_name("raw.bin")
    raw.write_bytes(np.ones((3, 3, 1, 16), "float32").tobytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights/conv1/mnist_cnn/conv1"]
        del group["kernel"]
        how(group, other, raw)
    return path


def by_external_link(group, other, raw):
    group["kernel"] = h5py.ExternalLink(str(other), "kernel")


def by_soft_link(group, other, raw):
    group["kernel"] = h5py.SoftLink("/model_weights/conv2/mnist_cnn/conv2/kernel")


def by_external_storage(group, other, raw):
    group.create_dataset("kernel", (3, 3, 1, 16), "float32", external=[(str(raw), 0, 576)])


def by_virtual_dataset(group, other, raw):
    layout = h5py.VirtualLayout((3, 3, 1, 16), "float32")
    layout[...] = h5py.VirtualSource(str(other), "kernel", (3, 3, 1, 16))
    group.create_virtual_dataset("kernel", layout)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (by_external_link, "is a link to another place or file; links are not followed"),
        (by_soft_link, "is a link to another place or file; links are not followed"),
        (
            by_external_storage,
            "has its values in another file, which is not opened; save the model again as one file",
        ),
        (
            by_virtual_dataset,
            "has its values in another file, which is not opened; save the model again as one file",
        ),
    ],
)
def test_values_outside_the_file_are_not_read(how, message, whole_h5, tmp_path):
    path = moved_out(tmp_path / "m.h5", whole_h5, how)
    for act in (allconv.report, allconv.check, allconv.convert):
        with pytest.raises(FileError, match=message):
            act(path)


# Size


def test_an_archive_that_unpacks_to_a_gigabyte_is_refused_unread(whole, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", zipfile.ZipFile(whole).read("config.json"))
        with archive.open("model.weights.h5", "w", force_zip64=True) as member:
            for _ in range(1024):
                member.write(bytes(2**20))
    assert path.stat().st_size < 8 * 2**20
    assert all("FileError" in line and "claims" in line for line in outcome(path))


def test_a_description_that_unpacks_to_a_gigabyte_is_refused_unread(whole, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("model.weights.h5", zipfile.ZipFile(whole).read("model.weights.h5"))
        with archive.open("config.json", "w", force_zip64=True) as member:
            for _ in range(1024):
                member.write(b" " * 2**20)
    assert all("FileError" in line for line in outcome(path))


@pytest.mark.parametrize("shape", [(2**40,), (10**6, 10**6), (2**20, 2**20, 2**20)])
def test_a_small_file_that_claims_a_terabyte_is_an_error_at_once(shape, whole_h5, tmp_path):
    path = tmp_path / "m.h5"
    path.write_bytes(whole_h5.read_bytes())
    with h5py.File(path, "r+") as file:
        group = file["model_weights/conv1/mnist_cnn/conv1"]
        del group["kernel"]
        group.create_dataset("kernel", shape, "float32", chunks=(1,) * len(shape))
    start = time.process_time()
    with pytest.raises(FileError, match="claims"):
        allconv.report(path)
    assert time.process_time() - start < 0.5


def test_layers_that_claim_a_terabyte_are_an_error_or_a_report_at_once(whole, tmp_path):
    config = described(whole)["config"]["layers"][1]["config"]
    huge = {**config, "filters": 2**31, "kernel_size": [2**20, 2**20], "padding": "same"}
    path = with_layer(tmp_path / "m.keras", whole, 1, config=huge)
    assert any("Error" in line for line in outcome(path))


# Form


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"class_name":"Sequential","config":['])
def test_json_nested_100_000_deep_is_one_message(opening, whole, tmp_path):
    text = opening + "[" * 100_000
    path = with_members(tmp_path / "m.keras", whole, config_json=text.encode())
    assert all("nested deeper" in line or "no JSON" in line for line in outcome(path))
    closed = with_members(
        tmp_path / "c.keras", whole, config_json=("[" * 100_000 + "]" * 100_000).encode()
    )
    assert all("nested deeper" in line for line in outcome(closed))


def test_layers_that_take_one_another_s_results_in_a_circle_are_named(tmp_path):
    image = keras.Input((8, 8, 2), name="image")
    x = layers.ReLU(name="b")(layers.ReLU(name="a")(image))
    path = tmp_path / "m.keras"
    keras.Model(image, x).save(path)
    config = described(path)
    nodes = {layer["name"]: layer for layer in config["config"]["layers"]}
    history = nodes["a"]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
    history[0] = "b"
    circle = with_members(tmp_path / "c.keras", path, config_json=json.dumps(config).encode())
    with pytest.raises(ModelError, match="no layer makes the tensors that these layers take: a, b"):
        allconv.report(circle)


def test_models_within_models_without_end_are_one_message(whole, tmp_path):
    config = described(whole)
    for level in range(60):
        config = {
            "module": "keras",
            "class_name": "Sequential",
            "config": {
                "name": f"m{level}",
                "layers": [
                    {
                        "module": "keras.layers",
                        "class_name": "InputLayer",
                        "config": {
                            "name": f"i{level}",
                            "batch_shape": [None, 28, 28, 1],
                            "dtype": "float32",
                        },
                    },
                    {"module": "keras", "class_name": "Sequential", "config": config["config"]},
                ],
            },
        }
    path = with_members(tmp_path / "m.keras", whole, config_json=json.dumps(config).encode())
    assert all("Error" in line for line in outcome(path))


def test_a_graph_that_doubles_at_every_level_is_one_message(whole, tmp_path):
    """Each model calls the one inside it twice: forty levels would be a million million calls."""

    def called(name, source, shape=(None, 4, 4, 1)):
        tensor = {"shape": shape, "dtype": "float32", "keras_history": [source, 0, 0]}
        return {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}

    def model(level):
        entry = {"class_name": "InputLayer", "module": "keras.layers", "name": "i"}
        entry |= {"inbound_nodes": [], "config": {"name": "i", "batch_shape": [None, 4, 4, 1]}}
        body = {"class_name": "ReLU", "module": "keras.layers", "config": {"name": "x"}}
        if level:
            body = {"class_name": "Functional", "module": "keras", "config": model(level - 1)}
        first = {**body, "name": "x", "inbound_nodes": [called("x", "i")]}
        second = called("x", "x")
        first["inbound_nodes"].append(second)
        return {
            "name": f"m{level}",
            "layers": [entry, first],
            "input_layers": [["i", 0, 0]],
            "output_layers": [["x", 1, 0]],
        }

    config = {"class_name": "Functional", "module": "keras", "config": model(12)}
    path = with_members(tmp_path / "m.keras", whole, config_json=json.dumps(config).encode())
    assert outcome(path)
    deeper = {"class_name": "Functional", "module": "keras", "config": model(25)}
    path = with_members(tmp_path / "d.keras", whole, config_json=json.dumps(deeper).encode())
    assert all("Error" in line for line in outcome(path))


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
def test_a_file_cut_short_is_one_message(share, whole, whole_h5, tmp_path):
    for source in (whole, whole_h5):
        path = tmp_path / source.name
        content = source.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        words = refused_by_command_line("convert", path, "-o", tmp_path / "o.keras")
        assert "cut short" in words or "claims" in words or "damaged" in words
        assert not (tmp_path / "o.keras").exists()


def test_names_in_a_file_cannot_command_a_terminal(whole, tmp_path):
    config = described(whole)
    evil = "conv\x1b]0;title\x07\x1b[2J\nError: all is lost"
    config["config"]["layers"][1]["config"]["name"] = evil
    path = with_members(tmp_path / "m.keras", whole, config_json=json.dumps(config).encode())
    for words in (["report", path], ["check", path], ["convert", path, "--dry-run"]):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert "\x1b" not in result.output and "\x07" not in result.output
        assert "\nError: all is lost" not in result.output


def test_a_heap_of_strings_that_never_ends_is_refused(tmp_path):
    """HDF5 1.14 walks forever through a heap that has an object of no size."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["model_config"] = "{}" + " " * 200
        file.attrs["other"] = "text" * 100
    data = bytearray(content.getvalue())
    heap = data.index(b"GCOL")
    first = heap + 16
    size = int.from_bytes(data[first + 8 : first + 16], "little")
    second = first + 16 + -(-size // 8) * 8
    data[second : second + 16] = bytes(16)
    path = tmp_path / "m.h5"
    path.write_bytes(data)
    assert all("a heap of strings in it is damaged" in line for line in outcome(path))


def test_the_bounds_of_these_tests_hold_something():
    """A process that takes more than it may is seen."""
    code = textwrap.dedent(LIMITED).format(megabytes=MEGABYTES, seconds=SECONDS)
    greedy = code.replace("start = time", "bytearray(600 * 2**20)\nstart = time")
    done = subprocess.run([sys.executable, "-c", greedy, "x"], capture_output=True, check=False)
    assert done.returncode != 0 and b"MemoryError" in done.stderr
