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


def drawing(examples):
    """Hypothesis' settings for whole networks."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=WITHOUT_SHRINKING,
        suppress_health_check=list(HealthCheck),
    )


def random_networks(examples):
    """Settings for a test on whole networks, where Keras may warn of a softmax over one channel."""
    quiet = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
    return lambda test: quiet(drawing(examples)(test))


def drawn_network(draw, data_format="channels_last", rank=2):
    """A CNN with random weights; its name says from which seed they are."""
    pencil, functional = Pencil(draw, rank, data_format), draw(st.booleans())
    sizes = [pencil.number(1, LARGEST[rank]) for _ in range(rank)]
    image = keras.Input(pencil.shape(sizes, pencil.number(1, 4)))
    x = image
    if data_format == "channels_first":
        # A layer that says so: without one nobody can know which axis the channels are.
        x = pencil.layer("Conv", pencil.number(1, 4), 1)(x)
    x = stem(pencil, x, STEPS + BLOCKS if functional else STEPS)
    outputs = [head(pencil, x, functional) for _ in range(pencil.one(1, 1, 2) if functional else 1)]
    name = f"drawn_{pencil.number(0, 99)}"
    if functional:
        model = keras.Model(image, outputs if len(outputs) > 1 else outputs[0], name=name)
    else:
        # A Sequential of no layers is no model to convert.
        end = outputs[0] if outputs[0] is not image else keras.layers.ReLU()(image)
        chain = keras.Model(image, end)
        model = keras.Sequential([keras.Input(image.shape[1:]), *chain.layers[1:]], name=name)
    return with_weights(model)


def rebuilt(text):
    """The network that a failure has printed."""
    return with_weights(keras.models.model_from_json(text))


def with_weights(model):
    return randomize(model, seed=int(model.name.removeprefix("drawn_")))


def stem(pencil, x, choices):
    for step in pencil.draw(st.lists(st.sampled_from(choices), min_size=1, max_size=6)):
        if not pencil.is_large(x):
            x = step(pencil, x)
    return x


def head(pencil, x, functional):
    x = pencil.one(*HEADS, *(JOINING_HEADS if functional else []))(pencil, x)
    return over_vector(pencil)(x) if len(x.shape) == 2 and pencil.maybe() else x
