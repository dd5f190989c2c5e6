"""Whether a conversion agrees with its original, as Keras computes both on random images."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np

import allconv
from allconv.plan import plan_conversion
from allconv.verification.compiled import is_unwritten, layers_of
from allconv.verification.precision import inference
from tests.helpers.randomized import leaves, randomize

ANY_SIZE = 9
"""Cells for a size that a model leaves open."""


def copies(steps):
    """Layers of the same settings, under names that Keras gives no other layer of a test.

    It counts its names anew in each session, and layers that a module holds keep theirs.
    """
    named = [{**step.get_config(), "name": f"copy_{i}"} for i, step in enumerate(steps)]
    return [type(step).from_config(config) for step, config in zip(steps, named, strict=True)]


def network(shape, *steps, name=None):
    """A Functional model of steps one after the other, with random weights."""
    image = keras.Input(shape, name="image")
    tensor = image
    for step in steps:
        tensor = step(tensor)
    return randomize(keras.Model(image, tensor, name=name))


def random_images(model, size=ANY_SIZE, low=-1.0, high=1.0):
    """Two images for each input of a model, uniform between two numbers."""
    rng = np.random.default_rng(0)
    shapes = [(2, *(length or size for length in tensor.shape[1:])) for tensor in model.inputs]
    return [rng.uniform(low, high, shape).astype("float32") for shape in shapes]


def outputs(model, images):
    """What a model computes of one array or a list of them, output by output, on any backend.

    In full precision: on a GPU, JAX would round to TensorFloat-32.
    """
    images = images if isinstance(images, list) else [images]
    with inference():
        results = runnable(model)(images if len(images) > 1 else images[0])
    return [keras.ops.convert_to_numpy(tensor) for tensor in keras.tree.flatten(results)]


def runnable(model):
    """The model as the backend runs it best.

    TensorFlow has no channels-first convolution for CPUs, unless XLA compiles it, and oneDNN leaves
    cells of some on one channel unwritten, which are then no oracle; JAX compiles the model as a
    whole much faster than step by step.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(model)
    # A Flatten's data format is a wish for the order of its values, and needs no convolution.
    convs = [leaf for leaf in leaves(model) if not isinstance(leaf, keras.layers.Flatten)]
    first = any(getattr(leaf, "data_format", "") == "channels_first" for leaf in convs)
    if backend == "tensorflow" and (first or has_unwritten_cells(model)):
        import tensorflow as tf

        return tf.function(model, jit_compile=True)
    return model


def has_unwritten_cells(model):
    """Whether a convolution of the model's own may be computed wrongly with oneDNN.

    Not one that a rule has made, which is frozen: those have to be right on every processor.
    """
    own = [leaf for leaf in leaves(model) if leaf.trainable]
    return any(is_unwritten(*layer) for layer in layers_of(SimpleNamespace(layers=own)))


def assert_close(found, expected):
    """The same shape, and the same numbers up to float32's rounding."""
    assert found.shape == expected.shape
    scale = float(np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * (1 + scale))


def assert_agree(model, converted, **images):
    """Both models compute the same numbers."""
    given = random_images(model, **images)
    pairs = zip(outputs(converted, given), outputs(model, given), strict=True)
    for found, expected in pairs:
        assert_close(found, expected)


def converts_alike(model, **options):
    """Convert a model, see that the numbers are the same, and return the conversion."""
    converted = allconv.convert(model, **options)
    assert_agree(model, converted)
    return converted


def reasons(model, rule, **options):
    """Why a rule did not apply, layer by layer."""
    plan = plan_conversion(model, **options)
    skips = [skip for node_skips in plan.skips.values() for skip in node_skips]
    return [skip.reason for skip in skips if skip.rule == rule]


def kinds_of(graph_or_model):
    """Class names of a graph's or a model's layers, in order."""
    nodes = getattr(graph_or_model, "nodes", None)
    if nodes is not None:
        return [node.kind for node in nodes]
    return [type(layer).__name__ for layer in graph_or_model.layers]
