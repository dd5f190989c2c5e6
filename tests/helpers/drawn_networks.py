"""Whole CNNs to draw: Sequential and Functional, of one, two or three axes, in both data formats.

    model = drawn_network(data.draw, "channels_last", rank=2)

Kernels and statistics are random, so that a wrong weight moves the output.
"""

from __future__ import annotations

import keras
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.helpers import drawn_steps as steps
from tests.helpers.chance import Chance
from tests.helpers.drawn_axes import along_an_axis
from tests.helpers.drawn_blocks import BLOCKS
from tests.helpers.drawn_heads import HEADS, JOINING_HEADS, over_vector
from tests.helpers.randomized import randomize

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
    return network(Chance(draw(st.randoms(use_true_random=False)), rank, data_format))


def network(chance):
    """A CNN with random weights, of what the chance has."""
    functional = chance.maybe()
    sizes = [chance.number(1, LARGEST[chance.rank]) for _ in range(chance.rank)]
    image = keras.Input(chance.shape(sizes, chance.number(1, 4)))
    x = image
    if chance.data_format == "channels_first":
        # A layer that says so: without one nobody can know which axis the channels are.
        x = chance.layer("Conv", chance.number(1, 4), 1)(x)
    x = stem(chance, x, STEPS + BLOCKS if functional else STEPS)
    model = functional_model(chance, image, x) if functional else sequential(chance, image, x)
    return randomize(model, seed=chance.number(0, 99))


def functional_model(chance, image, x):
    """Mostly one output; with the family `outputs` up to three, a list, a tuple or by name."""
    count = chance.number(1, 3) if "outputs" in chance.families else chance.one(1, 1, 2)
    ends = [head(chance, x, JOINING_HEADS) for _ in range(count)]
    if not chance.wants("outputs"):
        return keras.Model(image, ends if count > 1 else ends[0])
    if chance.maybe():
        ends.append(x)
    names = ["boxes", "age", "classes", "map"]
    by_name = dict(zip(names, ends, strict=False))
    return keras.Model(image, chance.one(ends, tuple(ends), by_name))


def sequential(chance, image, x):
    end = head(chance, x, [])
    # A Sequential of no layers is no model to convert.
    chain = keras.Model(image, end if end is not image else keras.layers.ReLU()(image))
    if any(isinstance(layer.input, list) for layer in chain.layers[1:]):
        return chain
    return keras.Sequential([keras.Input(image.shape[1:]), *chain.layers[1:]])


def stem(chance, x, steps):
    for step in chance.some(steps, 1, 6):
        if not chance.is_large(x):
            x = along_an_axis(chance, x) if chance.wants("axes") else step(chance, x)
    return x


def head(chance, x, joining):
    x = chance.one(*HEADS, *joining)(chance, x)
    return over_vector(chance)(x) if len(x.shape) == 2 and chance.maybe() else x
