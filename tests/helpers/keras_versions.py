"""What older versions of Keras do otherwise, so that the tests on it are not run there."""

from __future__ import annotations

import keras
import pytest

KERAS = tuple(map(int, keras.__version__.split(".")[:2]))


def since_keras(major: int, minor: int, what: str) -> pytest.MarkDecorator:
    """Skips a test before a version of Keras, and says what it brought."""
    return pytest.mark.skipif((major, minor) > KERAS, reason=f"since Keras {major}.{minor}: {what}")
