"""What all tests share: the same draws on every run, unless others are asked for.

pytest --hypothesis-profile fuzz --hypothesis-seed 7     # other ones, which 7 draws again
"""

from __future__ import annotations

from collections.abc import Generator

import keras
import pytest
from hypothesis import settings

from allconv.verification.precision import full_precision

# No deadlines: the machine may be busy, and the first call of a layer compiles it.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("fuzz", derandomize=False, deadline=None, database=None, print_blob=True)
settings.load_profile("same")  # before the tests' own settings, which take the rest from it


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begins the random numbers of Python, NumPy and the backend anew.

    Keras draws the kernels that a test leaves to it; they do not depend on the tests before.
    """
    keras.utils.set_random_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Runs and trains models in full precision, on GPUs as well: tests compare what they give."""
    with full_precision():
        return (yield)
