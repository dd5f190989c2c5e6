"""Keras, imported and used without the log of its backend; for the command line."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from allconv.errors import AllconvError


@contextmanager
def keras_quiet() -> Iterator[None]:
    """Imports Keras, and keeps it and its backend from logging and warning.

    Raises:
        AllconvError: Keras, or the backend that it is set to use, is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with stderr_kept():
            import keras

            # Where TensorFlow is installed, Keras imports it here, whatever its backend.
            keras.saving.serialize_keras_object(keras.initializers.Zeros())
    except ImportError as error:
        raise AllconvError(
            f"Keras cannot be imported ({error}); install its backend, as by "
            "pip install 'allconv[tensorflow]', or set KERAS_BACKEND to one that is installed"
        ) from error
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def stderr_kept() -> Iterator[None]:
    """Keeps back what is written to file descriptor 2, and shows it if an error follows.

    TensorFlow's C++ says there that it found no GPU, before any setting can stop it.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(real, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
