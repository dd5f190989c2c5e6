"""What a Keras user guesses: names at the top level, errors by their Python names."""

from __future__ import annotations

import pickle

import keras
import pytest

import allconv
from allconv import errors

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.AllconvError)
]


def test_dir_shows_the_public_names_and_nothing_else():
    assert dir(allconv) == sorted(allconv.__all__)
    assert {"export_onnx", "OnnxReport", "convert", "AllconvError"} <= set(dir(allconv))
    assert all(getattr(allconv, name) is not None for name in dir(allconv))


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'allconv' has no attribute 'convrt'"):
        _ = allconv.convrt


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_at_the_top_level_and_survives_pickling(kind):
    assert getattr(allconv, kind.__name__) is kind and kind.__name__ in allconv.__all__
    error = kind("'pool' (MaxPooling2D): a window of 3 does not fit")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is kind and str(copied) == str(error) == error.args[0]
    with pytest.raises(allconv.AllconvError):
        raise error


def test_errors_are_what_python_calls_them():
    assert issubclass(allconv.OptionError, ValueError)
    assert issubclass(allconv.ShapeError, ValueError)
    assert issubclass(allconv.FileError, OSError)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.MaxPooling2D(2)])
    with pytest.raises(ValueError, match="pooling"):
        allconv.convert(model, pooling="cnov")
    with pytest.raises(OSError, match="there is no such file"):
        allconv.report("missing.keras")
