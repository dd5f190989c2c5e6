"""Files in the making: in a folder beside their place, until they are complete.

A process that is killed leaves its folder behind. Each holds a file that is locked for as long as
its process lives, so the next one that writes beside it can tell, and removes what was left.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

DRAFT = re.compile(r"\.allconv-draft-[0-9a-f]{8}")
LOCK = "lock"


@contextmanager
def draft_folder(target: Path) -> Iterator[Path]:
    """Make a new folder beside the place of a file; whatever happens, it is gone afterwards."""
    remove_left_drafts(target.parent)
    folder = target.with_name(f".allconv-draft-{uuid.uuid4().hex[:8]}")
    folder.mkdir()
    try:
        with (folder / LOCK).open("wb") as lock:
            _locked(lock)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_drafts(folder: Path) -> None:
    """Remove the drafts in a folder whose processes are gone."""
    with suppress(OSError):
        for name in filter(DRAFT.fullmatch, os.listdir(folder)):
            if _is_left(folder / name / LOCK):
                shutil.rmtree(folder / name, ignore_errors=True)


def _is_left(lock: Path) -> bool:
    """Tell whether no process holds a lock; what cannot be told counts as held."""
    try:
        if sys.platform == "win32":  # where a file that is open cannot be removed
            lock.unlink()
            return True
        with lock.open("r+b") as file:
            return _locked(file)
    except OSError:
        return False


def _locked(file: BinaryIO) -> bool:
    """Lock a file until it is closed, or its process dies; False where that cannot be done."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system knows no locks
        return False
    return True


def real_place(path: Path) -> Path:
    """Say where a file goes that is written to a path: a link stays a link, to the new file.

    Raises:
        OSError: The path is a link that leads around in a circle, or its name is too long.
    """
    with suppress(FileNotFoundError):
        os.lstat(path)
    place = Path(os.path.realpath(path))  # not resolve(): what it says of circles has changed
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return place


def put(file: Path, target: Path) -> None:
    """Move a file to its place, at once, with the mode of an older one there."""
    take_mode(file, target)
    os.replace(file, target)


def take_mode(file: Path, older: Path) -> None:
    """Give a file the permissions of an older one, and its owner as far as that is allowed."""
    try:
        known = older.stat()
    except OSError:
        return
    if hasattr(os, "chown"):
        for owner in ((-1, known.st_gid), (known.st_uid, -1)):
            with suppress(OSError):
                os.chown(file, *owner)
    with suppress(OSError):  # after chown, which takes some bits away
        file.chmod(stat.S_IMODE(known.st_mode))
