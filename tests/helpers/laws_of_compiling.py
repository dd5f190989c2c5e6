"""A conversion is compiled as its original is: the same losses and metrics by the same names."""

from __future__ import annotations

import keras
import numpy as np

from tests.helpers.closeness import finite_images, relative_error, tolerance
from tests.helpers.drawn_compiling import is_single, structure, targets
from tests.helpers.keras_comparison import has_unwritten_cells


def evaluates_alike(model, converted, case):
    """`evaluate` gives the same numbers in the same order, with targets in order and by name."""
    if "input_size" in case.families or case.is_first or "16" in case.policy:
        return
    if has_unwritten_cells(model):
        return
    assert converted.compiled
    converted.run_eagerly = True
    if not is_single(model):
        assert model.output_names == converted.output_names
    images, _ = finite_images(model)
    for wanted in forms(model, targets(model, images)):
        for by_name in (False, True):
            try:
                expected = evaluated(model, images, wanted, by_name)
            except Exception:
                # Keras takes no targets by name for a list of one output, and not one output twice;
                # TensorFlow no "huber" of float64.
                continue
            found = evaluated(converted, images, wanted, by_name)
            assert list(found) == list(expected)
            numbers = [np.array(list(each.values())) for each in (found, expected)]
            relative_error(*numbers, 10 * tolerance(model))


def evaluated(model, images, wanted, by_name):
    """Loss and metrics, by their names or by their places."""
    results = model.evaluate(images[0], wanted, verbose=0, return_dict=by_name)
    # NumPy would let TensorFlow stack them, which it does not where they differ in precision.
    return results if by_name else dict(enumerate(map(float, keras.tree.flatten(results))))


def forms(model, wanted):
    """Targets in order, and by name."""
    if is_single(model) or isinstance(structure(model), dict):
        return [wanted]
    return [wanted, dict(zip(model.output_names, wanted, strict=True))]
