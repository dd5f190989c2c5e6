"""Nothing is read, planned, built or verified twice, whichever front asks for it."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from click.testing import CliRunner
from keras import layers

import allconv
from allconv.building.build import build
from allconv.cli.commands import main
from allconv.read.file import read_file
from allconv.rewrite import rewrite
from allconv.verify import verify
from tests.helpers.keras_comparison import network

COUNTED = (read_file, rewrite, build, verify)


def calls(command):
    """How often the functions above are called meanwhile, wherever they were imported."""
    names = {function.__code__: function.__name__ for function in COUNTED}
    found = Counter()

    def look(frame, event, _):
        if event == "call" and frame.f_code in names:
            found[names[frame.f_code]] += 1

    sys.setprofile(look)
    try:
        command()
    finally:
        sys.setprofile(None)
    return dict(found)


def in_process(*words):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    steps = [layers.Conv2D(2, 3), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)]
    network((8, 8, 1), *steps).save(path)
    return path


def test_convert_reads_plans_builds_and_verifies_once(file):
    plain = {"read_file": 1, "rewrite": 1, "build": 1}
    assert calls(lambda: allconv.convert(file)) == plain
    original = {"build": 2, "verify": 1}  # the model of the file is built to be compared with
    assert calls(lambda: allconv.convert(file, verify=True)) == plain | original


def test_report_and_geometry_plan_once_and_build_nothing(file):
    planned = {"read_file": 1, "rewrite": 1}
    assert calls(lambda: allconv.report(file, input_size="any")) == planned
    assert calls(lambda: allconv.geometry(file)) == planned
    compared = planned | {"build": 2, "verify": 1}
    assert calls(lambda: allconv.report(file, verify=True)) == compared


@pytest.mark.parametrize(
    ("options", "builds"),
    [
        ((), 2),
        (("--no-verify",), 1),
        (("--input-size", "any"), 2),
        (("--input-size", "12x12"), 3),  # the original does not take it: its own size is compared
        (("--pooling", "conv"), 1),
    ],
)
def test_the_command_convert_acts_on_one_plan(options, builds, file, tmp_path):
    found = calls(lambda: in_process("convert", file, "-o", tmp_path / "fcn.keras", *options))
    verified = {} if set(options) & {"--no-verify", "conv"} else {"verify": 1}
    assert found == {"read_file": 1, "rewrite": 1, "build": builds} | verified


def test_the_other_commands_read_once(file):
    assert calls(lambda: in_process("report", file)) == {"read_file": 1, "rewrite": 1}
    assert calls(lambda: in_process("check", file)) == {"read_file": 1}
    assert calls(lambda: in_process("verify", file, file))["read_file"] == 2
