"""Losses, weights and metrics for a model's outputs: for all, by list or by name."""

from __future__ import annotations

import keras
import numpy as np

LOSSES = ("mse", "mae", "huber")
METRICS = ("mae", "mse", "cosine_similarity")


def compile_at_random(random, model):
    """Compile a model, layer by layer and not as a graph, which would take seconds."""
    settings = {
        "loss": for_outputs(random, model, lambda: random.choice(LOSSES)),
        "metrics": for_outputs(random, model, lambda: random.sample(METRICS, random.randint(1, 2))),
        "weighted_metrics": random.choice([None, ["mae"]]) if is_single(model) else None,
    }
    if not is_single(model) and random.random() < 0.5:
        settings["loss_weights"] = for_outputs(random, model, lambda: random.choice([0.5, 2.0]))
    model.compile("sgd", run_eagerly=True, **settings)


def for_outputs(random, model, draw):
    """A setting for each output, in one of the forms that Keras takes."""
    if is_single(model):
        return draw()
    names = list(structure(model)) if isinstance(structure(model), dict) else model.output_names
    values = [draw() for _ in names]
    by_name = dict(zip(names, values, strict=True))
    return by_name if isinstance(structure(model), dict) or random.random() < 0.5 else values


def is_single(model):
    return not isinstance(structure(model), list | tuple | dict)


def structure(model):
    """A model's outputs, as they are given: one tensor, a list, a tuple or a dictionary."""
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


def targets(model, images):
    """Random targets in the structure of the model's outputs."""
    rng, samples = np.random.default_rng(1), len(images[0])

    def target(tensor):
        return rng.uniform(0, 1, (samples, *tensor.shape[1:])).astype("float32")

    if isinstance(structure(model), dict):
        return {name: target(tensor) for name, tensor in structure(model).items()}
    return (
        target(structure(model)) if is_single(model) else [target(end) for end in structure(model)]
    )
