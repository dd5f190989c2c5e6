"""Vectors that a model is given enter as maps of one cell, to lie as the maps that they meet."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from allconv.graph import Node
from allconv.layout import Layout, is_map, is_vector, layout
from allconv.rule import Match


def entered(match: Match, vector: Node, map_layout: Layout, part: str = "reshape") -> Node:
    """Enter a vector as the one cell of a map that lies as another one does."""
    assert vector.shape is not None
    target = map_layout.shape((1,) * map_layout.rank, int(vector.shape[1] or 0))
    cell = match.layer("Reshape", part, target_shape=target)(vector)
    return replace(cell, data_format=map_layout.data_format)


def form_of_map_met(match: Match, vector: Node) -> Layout:
    """Say how the map lies that a vector meets first on its way down the original model.

    The vector is unfolded to that map, or merged with it, be it flattened or not. Where it meets
    none, the answer is a map of two axes.
    """
    vectors, seen = deque([vector]), {vector}
    while vectors:
        for user in match.users(vectors.popleft()):
            if user in seen:
                continue
            seen.add(user)
            for tensor in (user, *user.inputs):
                if found := _map_of(tensor):
                    return layout(found, stated_format(match, found))
            vectors.append(user)
    return Layout(vector.data_format, (1, 1), 1)


def _map_of(tensor: Node) -> Node | None:
    """Find the map that a tensor is, or that a vector is made of; None where there is none."""
    while is_vector(tensor) and tensor.inputs:
        tensor = tensor.inputs[0]
    return tensor if is_map(tensor) else None


def stated_format(match: Match, tensor: Node) -> str | None:
    """Find the data format in which the layers below take a map; None where none of them says.

    A Dense layer says it too: it works along the last axis.
    """
    for user in match.users(tensor):
        if user.kind == "Dense":
            return "channels_last"
        if user.kind != "Flatten" and "data_format" in user.config:
            return str(user.config["data_format"])
        passes = user is not tensor and len(user.inputs) == 1 and user.shape == tensor.shape
        if passes and (said := stated_format(match, user)):
            return said
    return None
