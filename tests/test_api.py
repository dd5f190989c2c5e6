"""What a Keras user guesses: names at the top level, errors by Python's kinds, results alike."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from html.parser import HTMLParser
from pathlib import Path

import keras
import pytest
from keras import layers

import allconv
from allconv import errors
from allconv.export.onnx_report import OnnxReport
from allconv.fitting.agreement import Agreement
from allconv.fitting.calibration import FittedLayer

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


# results

WILD = "<img src=x onerror=alert(1)> & co"


def small() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(2, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2, name=WILD),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="last"),
        ],
        name="wild",
    )


def results():
    """One result of each kind, with a stranger's name and with numbers that are none."""
    model = small()
    near = Agreement(math.inf, 0.5)
    return [
        allconv.report(model),
        allconv.report(model, input_size="any"),
        allconv.check(model, input_size=(2, 2)),
        allconv.geometry(model),
        allconv.Verification(False, math.inf, 0.5, 1e-5, 4, 4, reason=WILD),
        allconv.Calibration(
            (FittedLayer(WILD, "Conv2D", WILD, math.nan, 0.1),),
            {WILD: "-"},
            near,
            near,
            True,
            4,
            1.0,
        ),
        allconv.Distillation((0.5,), (0.5, math.nan), near, near, False, 1.0),
        OnnxReport(
            path=WILD,
            file_size=3,
            opset_version=18,
            data_format="channels_first",
            inputs={WILD: ("batch", 3)},
            outputs={"y": (1, 3)},
            operators={"Conv": 1},
            all_convolutional=True,
            fully_convolutional=True,
        ),
    ]


class Tags(HTMLParser):
    """The tags that a browser sees, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not attrs

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("result", results(), ids=lambda result: type(result).__name__)
def test_every_result_is_plain_data_a_text_and_a_notebook_cell(result):
    data = result.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert str(result) and "object at" not in str(result)
    shown = Tags(result._repr_html_())
    assert shown.tags and shown.tags <= {"table", "tr", "th", "td", "p", "pre"}
    if WILD in str(result):
        assert WILD in shown.text


def test_a_report_and_a_check_are_tables_in_a_notebook():
    for result in (allconv.report(small()), allconv.check(small())):
        shown = Tags(result._repr_html_())
        assert {"table", "td"} <= shown.tags
        assert all(name in shown.text for name in ("first", WILD, "flat", "last", "Conv2D"))


def test_facts_about_a_layer_name_it_layer():
    def names(data):
        found = set()
        for item in data if isinstance(data, list) else data.values():
            if isinstance(item, (dict, list)):
                found |= names(item)
        return found | (set(data) if isinstance(data, dict) and "kind" in data else set())

    for result in results():
        found = names(result.to_dict())
        assert not found or ("layer" in found and "name" not in found)


def test_judgements_have_passed_and_are_true_only_where_it_is():
    model = small()
    check = allconv.check(model)
    assert check.passed is True and check and check.to_dict()["passed"] is True
    refused = allconv.check(model, input_size=(2, 2))
    assert refused.passed is False and not refused
    assert dataclasses.replace(results()[-1], parity=None).passed is None


# parameters

CALLS = """
import allconv
allconv.convert("m.keras", pooling="{pooling}", head="{head}")
allconv.convert("m.keras", pooling={{"pool1": "{pooling}"}})
allconv.export_onnx("m.keras", "m.onnx", data_format="{data_format}")
allconv.calibrate("m.keras", allconv.convert("m.keras"), [], verbose={verbose})
"""
RIGHT = {"pooling": "conv", "head": "keep", "data_format": "channels_last", "verbose": 0}
WRONG = {"pooling": "cnov", "head": "dens", "data_format": "nchw", "verbose": "silent"}


def test_a_type_checker_finds_a_choice_that_is_none(tmp_path):
    from mypy import api

    def complaints(name, words):
        file = tmp_path / f"{name}.py"
        file.write_text(CALLS.format(**words))
        config = str(Path(__file__).parents[1] / "pyproject.toml")
        return api.run(["--config-file", config, "--follow-imports=silent", str(file)])[0]

    assert complaints("right", RIGHT).startswith("Success")
    wrong = complaints("wrong", {**WRONG, "verbose": "'silent'"})
    assert wrong.count("error: ") == 5 and "cnov" in wrong and "nchw" in wrong


def test_the_command_line_is_a_function_of_its_room() -> None:
    from allconv.cli import main
    from allconv.cli.commands import main as commands

    assert main is commands
