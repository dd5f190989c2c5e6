"""Reports: golden ones, columns that add up, Keras' own counts, and what is said in words."""

from __future__ import annotations

import doctest
import importlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.building.build import build
from allconv.errors import ConversionError, OptionError
from allconv.report import Report
from allconv.reporting import rows
from allconv.reporting.totals import Amount
from allconv.reporting.words import KEEPS
from allconv.strategies import ConvPool
from allconv.weights import Array, item_bytes
from tests.helpers import networks, small_applications
from tests.helpers.drawn_networks import drawn_network, random_networks
from tests.helpers.keras_comparison import network

GOLDEN = Path(__file__).parent / "golden"
TEXTBOOK = ConvPool(kernel_size=3, padding="valid")
WIDER = ConvPool(kernel_size=3, padding="valid", filters=66)

REPORTS = {
    "mnist_exact": (networks.mnist_cnn, {}),
    "mnist_classifier": (networks.mnist_cnn, {"pooling": TEXTBOOK, "head": "classifier"}),
    "cifar10_classifier": (
        networks.cifar10_cnn,
        {"pooling": {"pool3": WIDER, "*": TEXTBOOK}, "head": "classifier"},
    ),
    "stubborn": (networks.stubborn, {}),
}


def report_named(name: str) -> Report:
    network, options = REPORTS[name]
    return allconv.report(network(), **options)


# golden reports


def write_golden_reports() -> None:
    """`python -m tests.test_report` does this; read the difference before you believe it."""
    for name in REPORTS:
        (GOLDEN / f"{name}.txt").write_text(f"{report_named(name)}\n")
    report = report_named("mnist_classifier")
    (GOLDEN / "mnist_classifier.md").write_text(f"{report.to_markdown()}\n")
    (GOLDEN / "mnist_classifier.json").write_text(f"{json.dumps(report.to_dict(), indent=1)}\n")


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_reads_as_it_did(name: str) -> None:
    assert f"{report_named(name)}\n" == (GOLDEN / f"{name}.txt").read_text()


def test_a_report_in_markdown_and_as_data_reads_as_it_did() -> None:
    report = report_named("mnist_classifier")
    assert f"{report.to_markdown()}\n" == (GOLDEN / "mnist_classifier.md").read_text()
    assert report.to_dict() == json.loads((GOLDEN / "mnist_classifier.json").read_text())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.txt")), ids=lambda path: path.stem)
def test_the_printed_columns_add_up_and_fit_a_terminal(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line.split()[-4:] for line in lines[lines.index("") + 1 :]]
    start = next(i for i, row in enumerate(rows) if row == ["parameters", "after", "MACs", "after"])
    table_rows = list(itertools.takewhile(bool, rows[start + 2 :]))
    *numbers, _ruler, totals = table_rows
    for column, total in zip(zip(*numbers, strict=True), totals, strict=True):
        if total == "--":
            assert "--" in column
        else:
            assert sum(int(cell.replace(",", "")) for cell in column) == int(total.replace(",", ""))


def test_the_columns_of_the_markdown_add_up() -> None:
    lines = (GOLDEN / "mnist_classifier.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("|")]
    first = cells[0].index("parameters")
    numbers = [[int(cell.replace(",", "")) for cell in row[first : first + 4]] for row in cells[2:]]
    assert [sum(column) for column in zip(*numbers[:-1], strict=True)] == numbers[-1]


# what is counted


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("mnist_classifier", 98_442, 74_362), ("cifar10_classifier", 553_514, 79_184)],
)
def test_the_reference_networks_have_the_parameters_that_are_known(
    name: str, before: int, after: int
) -> None:
    totals = report_named(name).totals
    assert totals.parameters == Amount(before, after)
    assert totals.weight_bytes == Amount(4 * before, 4 * after)


@pytest.mark.parametrize("name", ["mnist_exact", "mnist_classifier", "cifar10_classifier"])
def test_keras_counts_the_same_parameters_before_and_after(name: str) -> None:
    network, options = REPORTS[name]
    model = network()
    report, converted = allconv.report(model, **options), allconv.convert(model, **options)
    assert report.totals.parameters == Amount(model.count_params(), converted.count_params())
    for row in report.rows:
        if row.kind != "InputLayer":
            layer = model.get_layer(row.layer)
            assert (row.kind, row.parameters) == (type(layer).__name__, layer.count_params())
            assert row.output_shape == layer.output.shape


@given(st.data())
@random_networks(8)
def test_the_parameters_of_any_network_are_those_that_keras_counts(data: st.DataObject) -> None:
    model = drawn_network(data.draw, "channels_last")
    pooling = data.draw(st.sampled_from(["exact", "conv", "stride"]))
    report = allconv.report(model, pooling=pooling, strict=False)
    converted = allconv.convert(model, pooling=pooling, strict=False)
    assert report.totals.parameters == Amount(model.count_params(), converted.count_params())
    columns = zip(*map(printed_costs, report.rows), strict=True)
    assert list(map(sum, columns)) == [
        *(report.totals.parameters.before, report.totals.parameters.after),
        *(report.totals.multiply_accumulates.before, report.totals.multiply_accumulates.after),
    ]


def printed_costs(row: rows.Row) -> tuple[int, int, int, int]:
    before, after = row.multiply_accumulates, row.multiply_accumulates_after
    assert before is not None and after is not None
    return row.parameters, row.parameters_after, before, after


def test_the_maps_of_the_textbook_form_shrink_faster() -> None:
    rows = report_named("mnist_classifier").rows
    heights = [row.output_shape_after[1] for row in rows if row.kind in ("Conv2D", "MaxPooling2D")]
    assert heights == [28, 13, 13, 6, 6, 2]
    assert rows[-1].output_shape_after == (None, 1, 1, 10)


def test_multiply_accumulates_are_those_of_the_loops_of_a_convolution() -> None:
    def convolution(size: int, channels: int, filters: int) -> int:
        cells = itertools.product(range(size), range(size), range(3), range(3))
        return sum(channels * filters for _ in cells)

    count = convolution(28, 1, 16) + convolution(14, 16, 32) + convolution(7, 32, 64)
    count += 3 * 3 * 64 * 128 + 128 * 10
    assert report_named("mnist_exact").totals.multiply_accumulates.before == count


def test_a_pool_of_two_costs_sixteen_products_for_each_value() -> None:
    rows = {row.layer: row for row in report_named("mnist_exact").rows}
    assert rows["pool1"].multiply_accumulates == 0
    assert rows["pool1"].multiply_accumulates_after == 16 * 14 * 14 * 16


def test_half_precision_takes_half_the_bytes() -> None:
    halves = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3, dtype="float16")])
    assert allconv.report(halves).totals.weight_bytes == Amount(40, 40)


def test_bytes_of_types_that_numpy_does_not_know_are_told_by_their_names() -> None:
    sizes = {"bfloat16": 2, "float8_e4m3fn": 1, "bool": 1, "int4": 1, "float64": 8}
    assert {name: item_bytes(name) for name in sizes} == sizes


def test_a_shared_layer_has_one_row_and_pays_for_every_call() -> None:
    report = allconv.report(networks.twins())
    conv = next(row for row in report.rows if row.layer == "conv")
    assert conv.notes == ("called 2 times",)
    assert conv.parameters == 3 * 3 * 3 * 4 + 4
    assert conv.multiply_accumulates == 2 * 16 * 16 * (3 * 3 * 3 * 4)
    assert report.totals.parameters.before == networks.twins().count_params()
    assert report.plan.unshared == ()


def test_free_sizes_leave_the_cost_unknown_and_the_parameters_known() -> None:
    model = networks.of_any_size()
    report = allconv.report(model)
    assert report.totals.multiply_accumulates == Amount(None, None)
    assert report.totals.multiply_accumulates.ratio is None
    assert report.totals.parameters.before == model.count_params()
    assert re.search(r"^multiply-accumulates +-- +-- +--$", str(report), re.MULTILINE)
    assert re.search(r"^ *\d+  conv +224 +224 +-- +--$", str(report), re.MULTILINE)


def test_the_totals_print_on_their_own() -> None:
    report = report_named("mnist_classifier")
    lines = str(report.totals).splitlines()
    assert lines[2].split() == ["parameters", "98,442", "74,362", "0.76x"]
    assert str(report.totals) in str(report)


# what is said


def test_no_weight_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Array) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(Array, "read", refuse)
    for name in REPORTS:
        report = report_named(name)
        assert str(report) and report.to_markdown() and json.dumps(report.to_dict())
    with pytest.raises(ConversionError, match="a weight was read"):
        allconv.convert(networks.mnist_cnn())


def test_what_keeps_the_numbers_and_what_needs_training_is_said_plainly() -> None:
    exact, classifier = report_named("mnist_exact"), report_named("mnist_classifier")
    assert exact.lossless and not classifier.lossless
    assert "computes the same numbers as the model, up to rounding." in str(exact)
    assert "The result has to be trained" in str(classifier)
    assert "start fresh, to be trained\n  classes: kernel, bias" in str(classifier)
    assert [row.layer for row in classifier.rows if row.fresh] == ["classes"]
    keeps = {row.layer: row.keeps for row in classifier.rows}
    assert (keeps["conv1"], keeps["pool1"], keeps["pool2"]) == (None, "axes", "shape")


def test_a_dropped_layer_is_left_out_and_says_so() -> None:
    report = report_named("mnist_classifier")
    hidden = next(row for row in report.rows if row.layer == "hidden")
    assert (hidden.becomes, hidden.parameters_after) == ((), 0)
    assert hidden.output_shape_after is None
    assert re.search(r"hidden +Dense +128 +\(left out\)$", str(report), re.MULTILINE)


def test_an_activation_that_became_linear_is_told() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.Conv2D(3, 3, name="conv"), layers.MaxPooling2D(name="pool")]
    )
    report = allconv.report(model, pooling="conv")
    assert "pool: linear, since its input may be negative" in str(report)


def test_a_layer_whose_calls_part_is_no_longer_shared() -> None:
    conv = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")
    image = keras.Input((16, 16, 4), name="image")
    pooled = layers.MaxPooling2D(2, name="pool")(conv(image))
    model = keras.Model(image, [conv(image), pooled])
    report = allconv.report(model, pooling="stride")
    assert report.plan.unshared == ("conv",)
    assert "no longer shared: same numbers, but trained apart\n  conv" in str(report)
    assert report.to_dict()["unshared"] == ["conv"]


def test_a_window_is_explained_where_one_with_a_stride_is_printed() -> None:
    explanation = "3x3/2: a window of 3x3 with stride 2."
    assert explanation in str(report_named("mnist_exact"))
    dense = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3)])
    for model in (dense, networks.residual()):
        assert explanation not in str(allconv.report(model))
        assert "\nMACs: multiply-accumulates for one image.\n" in str(allconv.report(model))


def test_a_flatten_that_moved_says_where_to() -> None:
    assert "flatten: moved behind 'classes'" in str(report_named("mnist_exact"))


def test_a_model_that_is_all_convolutional_already_is_said_to_be() -> None:
    report = allconv.report(networks.residual())
    assert report.lossless and not report.changes and not report.obstacles
    assert "the model is all-convolutional, and convert copies it." in str(report)
    assert "0 of 5 layers change" in str(report)


def test_a_refused_model_has_a_report_that_lists_what_stands_in_the_way() -> None:
    report = allconv.report(networks.stubborn())
    assert [obstacle.layer for obstacle in report.obstacles] == ["shift", "mean"]
    assert report.refused and report.to_dict()["refused"]
    said = " ".join(str(report).split())
    assert said.startswith(
        "stubborn: refused; 1 of 6 layers would change convert refuses this model: 2 layers stand "
        "in the way; strict=False keeps such layers. input_size=(224, 224) gives the images a size."
    )
    skips = [(skip.layer, skip.rule) for skip in report.skips]
    assert skips == [("mean", "global_average_pool_to_conv")]
    mean = next(row for row in report.rows if row.layer == "mean")
    reason = "a mean over the whole map needs a fixed size, got (None, None, None, 4)"
    assert mean.skips == (reason,)
    assert str(report).count("a mean over the whole map needs") == 1
    with pytest.raises(allconv.errors.ConversionError):
        allconv.convert(networks.stubborn())


def test_what_is_left_as_it_is_on_purpose_is_no_refusal() -> None:
    report = allconv.report(networks.stubborn(), strict=False)
    assert not report.refused
    assert str(report).endswith("2 layers stand in the way, and stay.")


def test_a_verification_is_part_of_the_report_where_it_was_asked_for() -> None:
    model = networks.on_signals()
    assert allconv.report(model).verification is None
    report = allconv.report(model, verify=True)
    assert report.verification is not None
    assert " ".join(str(report).split()).endswith(str(report.verification))
    assert json.dumps(report.to_dict()["verification"])
    assert allconv.report(model, pooling="conv", verify=True).verification is None
    assert allconv.report(networks.stubborn(), verify=True).verification is None


def test_a_report_takes_the_options_of_convert_and_refuses_them_alike() -> None:
    with pytest.raises(OptionError, match="unknown pooling 'mean'"):
        allconv.report(networks.mnist_cnn(), pooling="mean")


def test_a_report_of_a_file_is_that_of_the_model_in_it(tmp_path: Path) -> None:
    model = networks.twins()
    model.save(tmp_path / "model.keras")
    assert str(allconv.report(tmp_path / "model.keras")) == str(allconv.report(model))


def test_the_plan_is_what_is_built() -> None:
    report = report_named("mnist_exact")
    converted = build(report.plan.after)
    words = [word for row in report.rows for word in row.becomes]
    assert len(words) == len(converted.layers)
    assert sorted(word.split()[0] for word in words) == sorted(
        type(layer).__name__ for layer in converted.layers
    )


# how it is set


def test_a_long_name_loses_its_middle_in_text_and_stays_whole_in_markdown() -> None:
    name = "the_first_convolution_of_the_second_block_of_the_third_stage"
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name=name)])
    assert max(map(len, str(allconv.report(model)).splitlines())) <= 80
    assert name in allconv.report(model).to_markdown()


def test_a_bar_in_a_name_does_not_break_a_markdown_table() -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="a|b")])
    assert r"| 2 | `a\|b` | Conv2D |" in allconv.report(model).to_markdown()


def test_a_name_is_no_markdown() -> None:
    model = keras.Sequential([layers.Input((4, 4, 1)), layers.Conv2D(2, 3, name="`c`")])
    model.name = "*a* <img src=x> [b](c)"
    text = allconv.report(model).to_markdown()
    assert text.startswith(r"## \*a\* &lt;img src=x> [b\](c): 0 of 2 layers change")
    assert "| `'c'` | Conv2D |" in text


def test_unequal_windows_and_strides_are_written_axis_by_axis() -> None:
    model = keras.Sequential(
        [keras.Input((9, 9, 2)), layers.Conv2D(2, (3, 1), strides=(2, 1), name="conv")]
    )
    assert allconv.report(model).rows[1].becomes == ("Conv2D 3x1/2x1",)


def test_the_example_in_the_docstring_is_true() -> None:
    keras.backend.clear_session()
    # allconv.report is the function; its module has to be asked for by name
    assert doctest.testmod(importlib.import_module("allconv.report")).failed == 0


if __name__ == "__main__":
    write_golden_reports()


def test_a_layer_that_is_converted_is_not_left_as_it_is() -> None:
    spectrum = keras.Input((13,), name="spectrum")
    model = keras.Model(spectrum, layers.Dense(2)(layers.Dense(16, name="hidden")(spectrum)))
    assert "left as they are" not in str(allconv.report(model))


@pytest.mark.parametrize("network", small_applications.NETWORKS)
def test_only_what_is_left_has_reasons_for_it_and_each_is_said_once(
    network: Callable[[], keras.Model],
) -> None:
    model = network()
    for options in ({}, {"pooling": "conv"}, {"head": "classifier"}):
        report = allconv.report(model, strict=False, **options)
        for row in report.rows:
            kind_left = any(words.split()[0] == row.kind for words in row.becomes)
            assert not row.skips or kind_left, row
            text = "; ".join(row.skips)
            assert all(text.count(reason) == 1 for reason in row.skips)
        for obstacle in report.obstacles:
            said = obstacle.reason.split("; ")
            assert all(obstacle.reason.count(reason) == 1 for reason in said)


def test_activations_are_told_where_they_are_a_layer_or_the_last_of_all() -> None:
    steps = [
        layers.Conv2D(2, 3, activation="relu", name="conv"),
        layers.Activation("sigmoid", name="gate"),
        layers.Flatten(name="flatten"),
        layers.Dense(3, activation="softmax", name="classes"),
    ]
    report = allconv.report(network((8, 8, 1), *steps))
    assert [row.activation for row in report.rows[1:]] == ["", "sigmoid", "", "softmax"]
    for text in (str(report), report.to_markdown(), report.to_html(), report.to_latex()):
        assert "Activation (sigmoid)" in text and "Dense (softmax)" in text
    assert ",Activation,sigmoid," in report.to_csv() and ",Dense,softmax," in report.to_csv()
    linear = allconv.report(network((8, 8, 1), layers.Conv2D(2, 3)))
    assert linear.rows[-1].activation == "" and "Conv2D (" not in str(linear)


def test_a_function_of_ones_own_is_told_by_its_name() -> None:
    @keras.saving.register_keras_serializable("mine")
    def cubed(x):
        return x**3

    row = allconv.report(network((8, 8, 1), layers.Activation(cubed))).rows[-1]
    assert "cubed" in row.activation


def test_markdown_says_what_is_kept_in_the_words_of_the_page() -> None:
    report = report_named("mnist_classifier")
    cells = [line.split(" | ")[-1].rstrip(" |") for line in report.to_markdown().splitlines()]
    for row in report.rows:
        assert row.keeps is None or KEEPS[row.keeps] in cells
