"""Plans for maxima: run in NumPy against a loop over windows, and counted against the report."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from keras import layers

import allconv
from allconv.rules.max_steps import cost, global_max_steps, layer_count, max_steps, plans
from allconv.rules.same_max import rises, same_pads
from tests.helpers.keras_comparison import network
from tests.helpers.slow_loops import margins, pooled

DOCS = Path(__file__).parents[1] / "docs"
PAIRS = [(k, s) for k in range(1, 9) for s in range(1, 9)]
SMALL = [(k, s) for k in range(1, 6) for s in range(1, 5)]


def stepped(values, step):
    """What a step makes of a map: the largest of its cells in each place of its window."""
    size, strides = step.window.size, step.window.strides
    results = [
        margins(n, k, s, "valid")[0]
        for n, k, s in zip(values.shape[1:-1], size, strides, strict=True)
    ]
    picked = []
    for cell in step.cells:
        slices = [
            slice(start, start + (n - 1) * s + 1, s)
            for start, n, s in zip(cell, results, strides, strict=True)
        ]
        picked.append(values[(slice(None), *slices)])
    return np.max(picked, axis=0)


def assert_plan(plan, window, strides, sizes):
    images = np.random.default_rng(0).normal(size=(1, *sizes, 1))
    values = images
    for step in plan:
        values = stepped(values, step)
    assert np.array_equal(values, pooled(images, window, strides, "valid", np.max))


@pytest.mark.parametrize(("k", "stride"), PAIRS)
def test_every_plan_gives_the_maximum_over_its_window(k, stride):
    for plan in plans((k, 3), (stride, stride)):
        assert_plan(plan, (k, 3), (stride, stride), (k + 2 * stride + 1, stride + 4))
    for plan in plans((2, k, 1), (1, stride, 2)):
        assert_plan(plan, (2, k, 1), (1, stride, 2), (3, k + stride, 4))


@pytest.mark.parametrize("sizes", [(1, 1), (2, 7), (8, 8), (11, 6), (15, 1)])
def test_a_global_plan_gives_the_maximum_over_the_map(sizes):
    assert_plan(global_max_steps(sizes), sizes, (1, 1), sizes)


def counted(sizes, pool):
    """Multiply-accumulates of a pool's conversion, as the report counts them."""
    return allconv.report(network((*sizes, 1), pool)).rows[-1].multiply_accumulates_after


@pytest.mark.parametrize(("k", "stride"), SMALL)
def test_the_cost_is_what_one_more_result_adds_to_the_report(k, stride):
    sizes = [k + 3 * stride, k + 4 * stride]
    fewer, more = (counted((size,), layers.MaxPooling1D(k, stride)) for size in sizes)
    assert more - fewer == cost(max_steps((k,), (stride,)))
    pool = layers.MaxPooling2D((k, 3), stride)
    (both, left), (right, neither) = (
        [counted((height, width + 3), pool) for width in (stride, 0)] for height in sizes[::-1]
    )
    assert both - left - right + neither == cost(max_steps((k, 3), (stride, stride)))


@pytest.mark.parametrize("sizes", [(2, 7), (8, 8), (11, 6)])
def test_the_cost_of_a_single_result_is_what_the_report_says(sizes):
    found = counted(sizes, layers.GlobalMaxPooling2D(keepdims=True))
    assert found == cost(global_max_steps(sizes), alone=True)
    found = counted(sizes, layers.MaxPooling2D(sizes, 3))
    assert found == cost(max_steps(sizes, (3, 3)), alone=True)


@pytest.mark.parametrize(
    ("window", "strides", "expected"),
    [
        ((2, 2), (2, 2), 4 * 4),
        ((3, 3), (1, 1), 4 * 4),
        # Three rows, by two steps of 2 cells, in four places; then three columns.
        ((3, 3), (2, 2), 4 * (2 * 4) + 3 * 3),
        # Two rows in nine places, then 2 rows of them and 3 columns.
        ((3, 3), (3, 3), 9 * 4 + 6 * 6),
        ((4, 4), (4, 4), 4 * 16 + 16),
        # Blocks of 2x2, then twice two of them at stride 1.
        ((4, 4), (2, 2), 16 + 2 * 4),
        ((2, 2, 2), (2, 2, 2), 8 * 4 + 4 * 4),
        ((1, 2, 2), (1, 2, 2), 4 * 4),
        ((1, 1), (3, 3), 1),
        ((1, 1), (1, 1), 0),
    ],
)
def test_the_cheapest_plan_costs_what_is_worked_out_by_hand(window, strides, expected):
    assert cost(max_steps(window, strides)) == expected


@pytest.mark.parametrize(("k", "stride"), PAIRS)
def test_no_other_plan_costs_less_nor_has_fewer_layers_at_that_cost(k, stride):
    window, strides = (k, k), (stride, stride)
    chosen = max_steps(window, strides)
    others = [(cost(plan), layer_count(plan)) for plan in plans(window, strides)]
    assert (cost(chosen), layer_count(chosen)) == min(others)
    assert cost(chosen) <= k**4


def test_halving_a_map_costs_no_less_than_the_global_plan():
    for size in range(1, 33):
        halving, left = [], size
        while left > 1:
            k = 2 + left % 2 if left > 2 else 2
            halving += max_steps((k, k), (2, 2))
            left = (left - k) // 2 + 1
        assert cost(global_max_steps((size, size)), alone=True) <= cost(halving, alone=True)


def risen(values, plan, strides, border):
    """What a plan of rises makes of a signal, `border` standing for what lies over it."""
    for axis, shift in plan.shifts:
        assert axis == 0
        moved = [
            values[i + shift] if 0 <= i + shift < len(values) else border
            for i in range(len(values))
        ]
        values = np.maximum(values, moved)
    if plan.last is None:
        return values
    size = plan.last.window.size[0]
    results, start = margins(len(values), size, strides, "same")
    places = [[i * strides - start + cell for (cell,) in plan.last.cells] for i in range(results)]
    return np.array(
        [max(values[j] if 0 <= j < len(values) else border for j in cells) for cells in places]
    )


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("k", "stride"), PAIRS)
def test_rises_give_the_maximum_over_windows_that_reach_over_the_border(k, stride, masked):
    plan, border = rises((k,), (stride,), masked), -math.inf if masked else 0.0
    for size in range(1, 3 * k + 1):
        values = np.random.default_rng(size).uniform(-1 if masked else 0, 1, size)
        expected = pooled(values[None, :, None], (k,), (stride,), "same", np.max)
        assert np.array_equal(risen(values, plan, stride, border), expected[0, :, 0])


def test_rises_that_are_masked_never_pick_a_cell_over_the_border():
    for k, stride in PAIRS:
        plan = rises((k,), (stride,), masked=True)
        if plan.last is not None:
            (((cell,),), (size,)) = plan.last.cells, plan.last.window.size
            for length in range(1, 3 * k + 1):
                results, start = margins(length, size, stride, "same")
                assert all(0 <= i * stride - start + cell < length for i in range(results))


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("k", "stride"), SMALL)
def test_the_cost_of_rises_is_what_the_report_counts(k, stride, masked):
    channels, size = 8, 16 * stride
    steps = [] if masked else [layers.ReLU()]
    model = network((size, channels), *steps, layers.MaxPooling1D(k, stride, "same"))
    rows = allconv.report(model, input_size="any").rows
    plan = rises((k,), (stride,), masked)
    of_ones = masked * sum(abs(shift) + 1 for _, shift in plan.shifts) * size
    if masked or stride == 1 or same_pads((None,), (k,), (stride,)) is None:
        found = rows[-1].multiply_accumulates_after - of_ones
        assert found == plan.cost * 16 * channels


def test_the_page_of_costs_is_what_its_script_writes():
    script = runpy.run_path(str(DOCS / "pool_costs.py"))
    assert (DOCS / "pool_costs.md").read_text() == script["page"]()
