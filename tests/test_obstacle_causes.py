"""One cause is one obstacle: without it the model converts, and what it held up with it."""

from __future__ import annotations

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

import allconv
from allconv.graph import Spec
from allconv.obstacles.found import layers_in_the_way
from allconv.plan import plan_conversion
from tests.helpers.drawn_networks import random_networks
from tests.helpers.plain_graphs import graph, image
from tests.helpers.small_applications import chain


def own(name):
    return layers.Lambda(lambda x: x, name=name)


def harmless(name):
    return layers.Activation("linear", name=name)


def obstacles_of(model, **options):
    return allconv.report(model, **options).obstacles


def head_with(odd):
    steps = [layers.Conv2D(4, 3), layers.MaxPooling2D(2), layers.Flatten(name="flatten")]
    denses = [layers.Dense(4, name="hidden"), layers.Dense(3, name="classes")]
    return chain((8, 8, 2), *steps, layers.BatchNormalization(name="norm"), odd("odd"), *denses)


def body_with(odd):
    steps = [layers.Conv2D(4, 3), odd("odd"), layers.MaxPooling2D(2), layers.Flatten()]
    return chain((8, 8, 2), *steps, layers.Dense(3))


def rows_with(odd):
    steps = [layers.Conv2D(4, 3), layers.Reshape((36, 4), name="rows"), odd("odd")]
    return chain((8, 8, 2), *steps)


@pytest.mark.parametrize(
    ("model_with", "held"),
    [(head_with, ("flatten", "hidden", "classes")), (body_with, ()), (rows_with, ("rows",))],
)
def test_what_one_layer_holds_up_is_no_obstacle_of_its_own(model_with, held):
    allconv.convert(model_with(harmless))
    (obstacle,) = obstacles_of(model_with(own))
    assert (obstacle.layer, obstacle.alike) == ("odd", ())
    assert set(held) <= set(obstacle.held)
    stays = allconv.convert(model_with(own), strict=False)
    assert set(obstacle.layers) <= {layer.name for layer in stays.layers}


def test_a_layer_that_stays_by_itself_is_no_consequence_of_another():
    steps = [layers.Conv2D(4, (3, 4)), layers.Permute((2, 1, 3), name="turn"), own("own")]
    first, second = obstacles_of(chain((8, 8, 2), *steps, layers.Conv2D(2, 3)))
    assert (first.layer, second.layer) == ("turn", "own")
    with pytest.raises(allconv.ConversionError, match="'turn'"):
        allconv.convert(chain((8, 8, 2), *steps[:2], harmless("own"), layers.Conv2D(2, 3)))


def half(name):
    return layers.Lambda(lambda x: x[:, :4], output_shape=(4, 8, 2), name=name)


def cropped(name):
    return layers.Cropping2D(((0, 4), (0, 0)), name=name)


def head():
    return [layers.Flatten(name="flatten"), layers.Dense(2, name="classes")]


def in_a_row(shape, *steps):
    return keras.Sequential([keras.Input(shape), *steps])


BEHIND_A_CAUSE = {
    "Permute": lambda: [layers.Permute((2, 1, 3), name="odd"), layers.Conv2D(2, 3)],
    "Reshape": lambda: [layers.Reshape((8, 4, 2), name="odd"), layers.Conv2D(2, 3)],
    "ReLU": lambda: [layers.ReLU(), layers.Reshape((8, 4, 2), name="odd"), layers.Conv2D(2, 3)],
    "Flatten": lambda: [layers.Flatten(), layers.Reshape((4, 16), name="odd"), layers.Conv1D(2, 3)],
    "Dense": lambda: [
        layers.Reshape((32, 2), name="odd"),
        layers.Dense(3),
        layers.Softmax(axis=1, name="cells"),
    ],
}


@pytest.mark.parametrize("kind", BEHIND_A_CAUSE)
@pytest.mark.parametrize("model_of", [chain, in_a_row])
def test_what_is_an_obstacle_between_layers_is_one_behind_another(kind, model_of):
    steps = BEHIND_A_CAUSE[kind]
    alone = obstacles_of(model_of((8, 8, 2), cropped("cause"), *steps(), *head()))
    cause, *others = obstacles_of(model_of((8, 8, 2), half("cause"), *steps(), *head()))
    assert cause.layer == "cause"
    assert [(each.layer, each.reason) for each in others] == [
        (each.layer, each.reason) for each in alone
    ]
    assert alone[0].layer == "odd"


def test_a_sequential_on_images_of_another_size_does_not_tell_its_shapes():
    steps = BEHIND_A_CAUSE["Permute"]()
    inner = in_a_row((None, None, 2), layers.Lambda(lambda x: x[:, ::2], name="cause"), *steps)
    (cause,) = obstacles_of(chain((16, 8, 2), inner))
    assert (cause.layer, cause.held) == ("cause", ("odd",))


def test_behind_a_cause_that_gives_a_vector_is_one_cell():
    def steps():
        return [layers.Reshape((2, 2, 2), name="unfold"), layers.Conv2D(2, 2), *head()]

    dense = [layers.GlobalAveragePooling2D(), layers.Dense(8)]
    column = layers.Lambda(lambda x: x[:, :, 0, 0], output_shape=(8,), name="cause")
    assert not obstacles_of(chain((8, 8, 2), *dense, *steps()))
    (obstacle,) = obstacles_of(chain((8, 8, 2), column, *steps()))
    assert obstacle.layer == "cause"


def squeezes(size):
    image = keras.Input((size, size, 4))
    x = image
    for number in range(4):
        gate = layers.GlobalAveragePooling2D(name=f"mean{number}")(x)
        gate = layers.Dense(4, activation="sigmoid", name=f"gate{number}")(gate)
        x = layers.Multiply()([x, layers.Reshape((1, 1, 4), name=f"cell{number}")(gate)])
    return keras.Model(image, x)


def test_a_size_that_is_free_is_one_obstacle_however_many_layers_need_it():
    allconv.convert(squeezes(8))
    (obstacle,) = obstacles_of(squeezes(None))
    assert obstacle.layer == "mean0"
    assert str(obstacle).startswith(
        "'mean0' (GlobalAveragePooling2D): a mean over the whole map needs a fixed size, got "
        "(None, None, None, 4); likewise 'mean1', 'mean2' and 'mean3'; so "
    )
    assert str(obstacle).endswith(" more stay, too")
    assert len(set(obstacle.layers)) == 12


def test_layers_behind_one_of_unknown_shape_are_held_up_by_it():
    entry = image("image")
    pool = Spec("MaxPooling2D", "pool", {"pool_size": 2, "strides": 2, "padding": "valid"})
    (obstacle,) = obstacles_of(graph([entry], [pool(Spec("mine>Layer", "own", {})(entry))]))
    assert (obstacle.layer, obstacle.held) == ("own", ("pool",))


STEPS = (
    lambda: layers.Conv2D(3, 3, padding="same"),
    lambda: layers.BatchNormalization(),
    lambda: layers.MaxPooling2D(2),
    lambda: layers.Dropout(0.1),
)
TAILS = (
    lambda: layers.BatchNormalization(),
    lambda: layers.Dense(3, activation="relu"),
    lambda: layers.Activation("tanh"),
)


@given(st.data())
@random_networks(12)
def test_however_many_layers_of_ones_own_there_are_one_obstacle_names_them_all(data):
    body = data.draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=4))
    tail = data.draw(st.lists(st.sampled_from(TAILS), max_size=3))
    steps = [*body, layers.Flatten, *tail, lambda: layers.Dense(2)]
    places = data.draw(st.sets(st.integers(1, len(steps)), min_size=1, max_size=3))
    names = [f"own{place}" for place in sorted(places)]

    def model_with(odd):
        made = [step() for step in steps]
        for place in sorted(places, reverse=True):
            made.insert(place, odd(f"own{place}"))
        return chain((16, 16, 3), *made)

    allconv.convert(model_with(harmless))
    model = model_with(own)
    (obstacle,) = obstacles_of(model)
    assert [obstacle.layer, *obstacle.alike] == names
    assert set(obstacle.layers) == set(layers_in_the_way(plan_conversion(model)))
