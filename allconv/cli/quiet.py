"""Keras, imported and used without the log of its backend; for the command line."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from allconv.errors import AllconvError, first_line, lack_of_memory

BACKENDS = ("tensorflow", "jax", "torch")
"""By Keras' names, which are pip's as well."""


@contextmanager
def keras_quiet() -> Iterator[None]:
    """Import Keras, and keep it and its backend from logging and warning.

    Raises:
        AllconvError: Keras, or the backend that it is set to use, is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_keras()
        logger = logging.getLogger("absl")
        before = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(before)


def _import_keras() -> None:
    try:
        import keras

        # Where TensorFlow is installed, Keras imports it here, whatever its backend.
        keras.saving.serialize_keras_object(keras.initializers.Zeros())
    except Exception as error:  # ImportError; ValueError for a backend that there is none of
        raise AllconvError(_why_not(error)) from error


def _why_not(error: Exception) -> str:
    """Say why Keras cannot be imported, and what helps."""
    backend = configured_backend()
    if lack := lack_of_memory(error):
        return f"Keras cannot be imported: {lack}"
    if backend not in BACKENDS and isinstance(error, ValueError):
        return (
            f"Keras cannot be imported: '{backend}' is no backend of it; set KERAS_BACKEND to "
            "tensorflow, jax or torch, whichever is installed"
        )
    package = backend if backend in BACKENDS else "tensorflow"
    return (
        f"Keras cannot be imported ({first_line(error) or type(error).__name__}); install its "
        f"backend, for example by pip install {package}, or set KERAS_BACKEND to one "
        f"that is installed{_limit_of_memory()}"
    )


def _limit_of_memory() -> str:
    """Say how much memory the process may have, in words; "" where there is no limit."""
    if sys.platform == "win32":
        return ""
    import resource

    kind = getattr(resource, "RLIMIT_AS", None)  # OpenBSD has none
    limit = resource.RLIM_INFINITY if kind is None else resource.getrlimit(kind)[0]
    if limit == resource.RLIM_INFINITY:
        return ""
    return f"; or allow more memory, which is limited to {limit // 2**20:,} MB (ulimit -v)"


def configured_backend() -> str:
    """Find the backend that Keras is set to; Keras takes tensorflow where no setting says."""
    with suppress(OSError, ValueError, AttributeError, RuntimeError):  # there may be no home at all
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        return os.environ.get("KERAS_BACKEND") or str(settings.get("backend", "tensorflow"))
    return os.environ.get("KERAS_BACKEND") or "tensorflow"


@contextmanager
def stderr_kept() -> Iterator[None]:
    """Hold back what is written to file descriptor 2; show it if an unforeseen error follows.

    TensorFlow's C++ says there that it found no GPU, before any setting can stop it; HDF5 tells of
    a full disk in fifty lines.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with _somewhere() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not _is_foreseen(error):
                kept.seek(0)
                os.write(real, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)


def _is_foreseen(error: BaseException) -> bool:
    """Tell whether an error is told in one line of its own."""
    return isinstance(error, (AllconvError, KeyboardInterrupt)) or bool(lack_of_memory(error))


def _somewhere() -> IO[bytes]:
    """Open a file without a name; where no disk has room for one, one that keeps nothing."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "r+b")
