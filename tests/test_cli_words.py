"""Python's words stay out of the command line, and the command line's out of Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from allconv.cli.commands import main
from allconv.cli.words import in_options

PACKAGE = Path(__file__).parents[1] / "allconv"


def texts(path: Path) -> Iterator[str]:
    """The texts in a file, but for those that explain the code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


OUTSIDE = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "cli"]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_text_outside_the_command_line_names_an_option_of_it(path: Path) -> None:
    assert [text for text in texts(path) if re.search(r"(?<![\w-])--[a-z]", text)] == []


ADVICE = {
    "strict=False leaves them as they are": "--no-strict leaves them as they are",
    "verify=False writes the file as it is": "--no-verify writes the file as it is",
    "input_size=(224, 224) gives the images a size": "--input-size 224x224 gives the images a size",
    "input_size=(300,) gives the images a size": "--input-size 300 gives the images a size",
    'by ModelFile(file, config="model.json")': "by --config model.json",
    "ModelFile(file, config=...) is for weights": "--config is for weights",
    "pooling names 'p', which is no max pool": "--pooling names 'p', which is no max pool",
    "opset_version is 12; expected": "--opset-version is 12; expected",
    "data_format is 'chwn'": "--data-format is 'chwn'",
    "float16 and int8 are two precisions": "--float16 and --int8 are two precisions",
    "too many to be tried; give inputs": "too many to be tried; give --inputs",
    "give input_size='any', or the sizes": "give --input-size any, or the sizes",
    "input_size=(height, width), or": "--input-size HEIGHTxWIDTH, or",
    "output_stride=1 is of class maps": "--output-stride 1 is of class maps",
    "with output_stride=(1, 4); these": "with --output-stride 1x4; these",
    "output_stride is 3, which": "--output-stride is 3, which",
    "without output_stride it may": "without --output-stride it may",
    "leave pooling='keep' out": "leave --pooling keep out",
    "give a rule with rules=[...]": "give a rule in an installed package",
    "give a Preprocessing with scale, mean or std (and colour and size, where need be)": (
        "give --scale, --mean or --std (and --colour and --size, where need be)"
    ),
    "Preprocessing(scale=1) is for one": "--scale 1 is for one",
    "Preprocessing: colour is 'grey'": "--colour is 'grey'",
    "what Preprocessing makes of pixels": "what --scale, --mean and --std make of pixels",
    "leave scale, mean and std out": "leave --scale, --mean and --std out",
}


@pytest.mark.parametrize("words", ADVICE)
def test_advice_is_told_in_options(words: str) -> None:
    assert in_options(words) == ADVICE[words]


def test_calls_of_python_stay_calls() -> None:
    call = ": allconv.convert(model, strict=False) leaves such layers as they are"
    assert in_options(call) == call
    wrapped = call.replace(" strict", "\n      strict")
    assert in_options(wrapped) == wrapped


def test_the_options_that_are_advised_exist() -> None:
    known = {
        option
        for command in main.commands.values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    advised = {option for words in ADVICE.values() for option in re.findall(r"--[a-z0-9-]+", words)}
    assert advised <= known


def test_the_advice_is_what_the_package_says() -> None:
    said = "\n".join(text for path in OUTSIDE for text in texts(path))
    for words in (
        "strict=False",
        "verify=False",
        "input_size=",
        "ModelFile(file",
        "opset_version is",
    ):
        assert words in said
