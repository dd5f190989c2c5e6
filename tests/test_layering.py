"""Columns and lanes: nothing lies on anything else, whatever the network."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from allconv.reporting.html import layering
from allconv.reporting.html.layering import layered


@st.composite
def networks(draw: st.DrawFn) -> list[list[int]]:
    """For each node the nodes before it that it takes."""
    inputs: list[list[int]] = [[]]
    for node in range(1, draw(st.integers(1, 25))):
        sources = draw(st.lists(st.integers(0, node - 1), max_size=3))
        inputs.append(sources)
    return inputs


def longest_path(inputs: list[list[int]], node: int) -> int:
    return max((1 + longest_path(inputs, source) for source in inputs[node]), default=0)


@given(networks())
def test_the_column_of_a_node_is_the_longest_path_to_it(inputs: list[list[int]]) -> None:
    columns = layered(inputs).columns
    assert list(columns) == [longest_path(inputs, node) for node in range(len(inputs))]


@given(networks())
def test_every_node_has_a_place_of_its_own(inputs: list[list[int]]) -> None:
    places = layered(inputs)
    assert len(set(zip(places.columns, places.lanes, strict=True))) == len(inputs)


@given(networks())
def test_there_is_one_link_for_each_two_nodes_that_are_linked(inputs: list[list[int]]) -> None:
    found = [(link.source, link.target) for link in layered(inputs).links]
    wanted = {(source, node) for node, sources in enumerate(inputs) for source in sources}
    assert len(found) == len(wanted) and set(found) == wanted


@given(networks())
def test_a_link_runs_through_no_node_and_along_no_link_of_another_node(
    inputs: list[list[int]],
) -> None:
    places = layered(inputs)
    owners = {place: i for i, place in enumerate(zip(places.lanes, places.columns, strict=True))}
    for link in places.links:
        for column in range(places.columns[link.source] + 1, places.columns[link.target]):
            assert owners.setdefault((link.lane, column), link.source) == link.source


def test_a_chain_is_a_straight_line() -> None:
    places = layered([[], [0], [1], [2]])
    assert places.columns == (0, 1, 2, 3)
    assert places.lanes == (0, 0, 0, 0)


def test_branches_leave_the_middle_and_come_back_to_it() -> None:
    places = layered([[], [0], [0], [0], [1, 2, 3], [4]])
    assert places.lanes == (0, 0, 1, -1, 0, 0)


def test_a_shortcut_runs_beside_the_layers_that_it_passes() -> None:
    places = layered([[], [0], [1], [2, 0]])
    assert places.lanes == (0, 0, 0, 0)
    assert [link.lane for link in places.links if link.source == 0] == [0, 1]


def test_the_example_of_layering_runs() -> None:
    assert doctest.testmod(layering).failed == 0
