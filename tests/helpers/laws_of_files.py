"""Files: what Keras writes of a conversion it reads again; what it writes of a model converts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

import allconv
from allconv.errors import ConversionError, ShapeError
from allconv.plan import plan_conversion
from allconv.read import read
from allconv.saving.saved_as_h5 import lost_in_h5
from tests.helpers.closeness import comparable, finite_images, relative_error, tolerance
from tests.helpers.converted_or_refused import without_strict
from tests.helpers.keras_comparison import outputs
from tests.helpers.randomized import leaves

ENDINGS = (".keras", ".h5")


def files_load(model, converted, case):
    """`.keras` or `.h5`, with the same numbers, unless allconv would refuse to write it."""
    ending = ENDINGS[case.seed % 2]
    if ending == ".h5" and list(lost_in_h5(read(converted))):
        return
    with tempfile.TemporaryDirectory() as folder:
        if not loads(model, Path(folder, f"original{ending}")):
            return
        path = Path(folder, f"converted{ending}")
        converted.save(path)
        assert_same_numbers(converted, keras.models.load_model(path, compile=False), like=model)


def loads(model, path):
    """Whether Keras reads what it writes: not all dtypes, settings and operations, as `.h5`."""
    try:
        model.save(path)
        keras.models.load_model(path, compile=False)
    except Exception:
        return False
    return True


def files_convert_alike(model, options, refused):
    """A file that Keras reads is converted as the model in memory is, or refused as that is.

    LoRA's weights are known in memory only, and quantized layers are made of layers in memory only:
    those a file is refused for by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        for ending in ENDINGS:
            path = Path(folder, f"original{ending}")
            if not loads(model, path):
                continue
            try:
                converted = allconv.convert(str(path), **options)
            except (ConversionError, ShapeError) as error:
                words = f"{ending} is refused, the model in memory is not"
                assert refused or any(name in str(error) for name in adapted(model)), words
                continue
            assert not refused, f"{ending} is converted, the model in memory is refused"
            live = allconv.convert(model, **options)
            assert shapes_of_weights(converted) == shapes_of_weights(live)
            if not has_fresh_weights(model, options):
                assert_same_numbers(live, converted, like=model)


def adapted(model):
    """The names of layers that are quantized, or have LoRA's weights, as messages write them."""
    settings = ("lora_enabled", "quantization_mode")
    return [
        f"'{layer.name}'"
        for layer in leaves(model)
        if any(getattr(layer, setting, None) for setting in settings)
    ]


def shapes_of_weights(model):
    return [tuple(weight.shape) for weight in model.weights]


def has_fresh_weights(model, options):
    """Whether a conversion draws weights at random, each time others, as a lean one may."""
    plan = plan_conversion(model, **without_strict(options))
    return any(array.is_fresh for spec in plan.after.specs() for array in spec.weights.values())


def assert_same_numbers(model, other, like):
    """On images of the sizes of `like`, where the two leave them open."""
    limit = tolerance(model)
    images, expected = finite_images(comparable(model), like)
    for found, each in zip(outputs(comparable(other), images), expected, strict=True):
        relative_error(found, each, limit)
