"""Files on their way to their place: what a killed process left, modes, links."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import pytest

import allconv
from allconv import save
from allconv.errors import FileError
from allconv.export.file.draft import drafted
from allconv.export.file.external_data import data_file
from allconv.save import check_writable, save_model, save_text
from allconv.saving.drafts import draft_folder
from tests.helpers.networks import mnist_cnn, residual, twins

has_modes = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
DRAFTING = """
import sys, time
from pathlib import Path
from allconv.saving.drafts import draft_folder
with draft_folder(Path(sys.argv[1])) as folder:
    (folder / "half.keras").write_text("half a mod")
    print("drafting", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def drafting(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process with a draft beside `model.keras`."""
    command = [sys.executable, "-c", DRAFTING, str(tmp_path / "model.keras")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"drafting\n"
        yield process
        process.kill()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def write_onnx(path: Path, weights: bytes = b"") -> None:
    with drafted(path) as draft:
        draft.file.write_bytes(b"model")
        if weights:
            data_file(draft.file).write_bytes(weights)
        draft.put_in_place()


@pytest.mark.parametrize("write", [lambda path: save_text("whole", path), write_onnx])
def test_a_draft_of_a_killed_process_is_gone_after_the_next_one_and_no_other(
    write, drafting: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / ".allconv-draft-notes").mkdir()
    (left,) = [path for path in tmp_path.iterdir() if path.name != ".allconv-draft-notes"]
    write(tmp_path / "other.onnx")
    assert left.is_dir()
    drafting.kill()
    drafting.wait()
    assert (left / "half.keras").exists()
    write(tmp_path / "other.onnx")
    assert sorted(os.listdir(tmp_path)) == [".allconv-draft-notes", "other.onnx"]


def test_two_drafts_of_one_process_do_not_meet(tmp_path: Path) -> None:
    with draft_folder(tmp_path / "a.keras") as first, draft_folder(tmp_path / "a.keras") as second:
        assert first.is_dir() and second.is_dir() and first != second
    assert not list(tmp_path.iterdir())


@has_modes
@pytest.mark.parametrize("permissions", [0o640, 0o600, 0o664, 0o444])
def test_a_file_that_is_written_over_keeps_its_mode(permissions: int, tmp_path: Path) -> None:
    page, network = tmp_path / "page.html", tmp_path / "fcn.onnx"
    for path in (page, network, data_file(network)):
        path.write_text("older")
        path.chmod(permissions)
    save_text("new", page)
    write_onnx(network, b"weights")
    assert [path.read_text() for path in (page, network)] == ["new", "model"]
    assert data_file(network).read_bytes() == b"weights"
    assert {mode(path) for path in tmp_path.iterdir()} == {permissions}


@has_modes
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="not root")
def test_a_file_that_root_writes_over_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.touch()
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    save_text("new", path)
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (12345, 23456, 0o640)


@has_modes
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_new_file_has_the_mode_that_the_umask_leaves(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save_text("new", tmp_path / "page.html")
        write_onnx(tmp_path / "fcn.onnx", b"weights")
    finally:
        os.umask(before)
    assert {mode(path) for path in tmp_path.iterdir()} == {0o666 & ~umask}


def test_a_link_is_written_through_and_its_own_name_tells_the_form(tmp_path: Path) -> None:
    link, blob = tmp_path / "out.html", tmp_path / "blob"
    link.symlink_to(blob)
    for text in ("first", "second"):
        save_text(text, link)
        assert link.is_symlink() and blob.read_text() == text
    assert sorted(os.listdir(tmp_path)) == ["blob", "out.html"]


def test_a_link_that_leads_to_itself_is_refused_on_every_python(tmp_path: Path) -> None:
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    first.symlink_to(second)
    second.symlink_to(first)
    for write in (lambda path: save_text("x", path), write_onnx, check_html):
        with pytest.raises(FileError, match=r"first\.html: cannot be written: .*links"):
            write(first)
    assert first.is_symlink() and second.is_symlink() and len(os.listdir(tmp_path)) == 2


def check_html(path: Path) -> None:
    check_writable(path, suffixes=(".html",))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_not_written_over(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.html"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match=r"pipe\.html: is no regular file; give another name"):
        check_html(pipe)


# a full disk


WRITING = """
import resource, sys
from pathlib import Path
import keras
from keras import layers
from allconv.errors import FileError
from allconv.save import save_model
model = keras.Sequential([keras.Input((8, 8, 3)), *(layers.Conv2D(9, 1) for _ in range(8))])
model.add(layers.Conv2D(99, 8))
output = Path(sys.argv[1])
for size in (0, 4_000, 64_000, 100_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        save_model(model, output)
    except FileError as error:
        print(error)
        assert output.read_text() == "older"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
save_model(model, output)
assert len(list(output.parent.iterdir())) == 1
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_where_there_is_no_room_that_is_one_line_and_the_older_file_stays(
    name: str, tmp_path: Path
) -> None:
    output = tmp_path / name
    output.write_text("older")
    command = [sys.executable, "-c", WRITING, str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (
        0,
        4 * f"{output}: cannot be written: File too large\n",
    ), done.stderr


@pytest.mark.parametrize("network", [mnist_cnn, residual, twins])
def test_an_h5_file_takes_less_room_than_is_looked_for(
    network: Callable[[], keras.Model], tmp_path: Path
) -> None:
    for model in (network(), allconv.convert(network())):
        save_model(model, tmp_path / "model.h5")
        assert (tmp_path / "model.h5").stat().st_size < save._most_bytes(model)


def test_what_hdf5_says_of_a_full_disk_is_cut_to_what_the_system_said(tmp_path: Path) -> None:
    class Full:
        def save(self, path: Path) -> None:
            raise RuntimeError(
                "Can't close file (file write failed: time = now\n, errno = 28, error message = "
                "'No space left on device', buf = 0x55d058022e68)"
            )

    path = tmp_path / "model.keras"
    with pytest.raises(FileError) as caught:
        save_model(Full(), path)
    assert str(caught.value) == f"{path}: cannot be written: No space left on device"
