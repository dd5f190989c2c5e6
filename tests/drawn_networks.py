"""Whole CNNs to draw: Sequential and Functional, of one, two or three axes, in both data formats.

    model = drawn_network(data.draw, "channels_last", rank=2)

Kernels and statistics are random, so that a wrong weight moves the output.
"""

from __future__ import annotations

import keras
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests import drawn_steps as steps
from tests.drawn_axes import along_an_axis
from tests.drawn_blocks import BLOCKS
from tests.drawn_heads import HEADS, JOINING_HEADS, over_vector
from tests.pencil import Pencil
from tests.randomized import randomize

# A network takes minutes to shrink; the printed draws say which one failed.
WITHOUT_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]

LARGEST = {1: 16, 2: 12, 3: 5}
STEPS = [
    *[steps.conv] * 4,
    *[steps.max_pool] * 4,
    *[steps.average_pool] * 2,
    *[steps.transposed, steps.activation, steps.activation, steps.idle, steps.normalization],
    *[steps.space, steps.per_cell],
]


def random_networks(examples):
    """Settings for a test on whole networks, where Keras may warn of a softmax over one channel."""
    quiet = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
    chosen = settings(
        max_examples=examples,
        deadline=None,
        phases=WITHOUT_SHRINKING,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: quiet(chosen(test))


def drawn_network(draw, data_format="channels_last", rank=2):
    """A network of ordinary ingredients, by Hypothesis' choices."""
    return network(Pencil(draw(st.randoms(use_true_random=False)), rank, data_format))


def network(pencil):
    """A CNN with random weights, of what the pencil has."""
    functional = pencil.maybe()
    sizes = [pencil.number(1, LARGEST[pencil.rank]) for _ in range(pencil.rank)]
    image = keras.Input(pencil.shape(sizes, pencil.number(1, 4)))
    x = image
    if pencil.data_format == "channels_first":
        # A layer that says so: without one nobody can know which axis the channels are.
        x = pencil.layer("Conv", pencil.number(1, 4), 1)(x)
    x = stem(pencil, x, STEPS + BLOCKS if functional else STEPS)
    model = functional_model(pencil, image, x) if functional else sequential(pencil, image, x)
    return randomize(model, seed=pencil.number(0, 99))


def functional_model(pencil, image, x):
    """Mostly one output; with the family `outputs` up to three, a list, a tuple or by name."""
    count = pencil.number(1, 3) if "outputs" in pencil.families else pencil.one(1, 1, 2)
    ends = [head(pencil, x, JOINING_HEADS) for _ in range(count)]
    if not pencil.wants("outputs"):
        return keras.Model(image, ends if count > 1 else ends[0])
    if pencil.maybe():
        ends.append(x)
    names = ["boxes", "age", "classes", "map"]
    by_name = dict(zip(names, ends, strict=False))
    return keras.Model(image, pencil.one(ends, tuple(ends), by_name))


def sequential(pencil, image, x):
    end = head(pencil, x, [])
    # A Sequential of no layers is no model to convert.
    chain = keras.Model(image, end if end is not image else keras.layers.ReLU()(image))
    if any(isinstance(layer.input, list) for layer in chain.layers[1:]):
        return chain
    return keras.Sequential([keras.Input(image.shape[1:]), *chain.layers[1:]])


def stem(pencil, x, choices):
    for step in pencil.some(choices, 1, 6):
        if not pencil.is_large(x):
            x = along_an_axis(pencil, x) if pencil.wants("axes") else step(pencil, x)
    return x


def head(pencil, x, joining):
    x = pencil.one(*HEADS, *joining)(pencil, x)
    return over_vector(pencil)(x) if len(x.shape) == 2 and pencil.maybe() else x
