"""What a file says of the calls of its layers is held against the layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from allconv.building.build import build
from allconv.errors import AllconvError
from allconv.read import read
from tests.helpers.described_files import (
    call,
    functional,
    image,
    layer,
    refused,
    sequential,
    tensor,
    written,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.keras"


def test_two_layers_of_one_name_are_told(path):
    twice = sequential(image(4), layer("ReLU", "a"), layer("ELU", "a"))
    assert refused(path, twice) == "layer 'a': the model has two layers of this name"


def test_a_nested_model_that_is_called_on_too_few_tensors_is_told(path):
    inner = functional(
        image(4, name="a"),
        image(4, name="b"),
        layer("Add", "sum", [call([tensor("a"), tensor("b")])]),
        inputs=[["a", 0, 0], ["b", 0, 0]],
        outputs=[["sum", 0, 0]],
        name="inner",
    )
    nested = {**inner, "name": "inner", "inbound_nodes": [call(tensor("image"))]}
    outer = functional(image(4), nested, outputs=[["inner", 1, 0]])
    assert refused(path, outer) == (
        "layer 'inner': a model of 2 inputs is called on 1 tensors; the description of the model "
        "is damaged"
    )


def test_an_input_listed_twice_is_told(path):
    twice = [["image", 0, 0], ["image", 0, 0]]
    model = functional(image(4), inputs=twice, outputs=[["image", 0, 0]])
    assert refused(path, model) == "the model: one of its inputs is listed twice"


def test_an_input_that_is_no_input_layer_is_told(path):
    model = functional(layer("ReLU", "relu", []), inputs=[["relu", 0, 0]], outputs=[["relu", 0, 0]])
    assert refused(path, model) == (
        "layer 'relu' (ReLU): the model lists it as its input; expected an InputLayer"
    )


def test_a_call_on_no_tensors_is_told(path):
    model = functional(image(4), layer("Add", "sum", [call([])]), outputs=[["sum", 0, 0]])
    assert refused(path, model) == (
        "layer 'sum' (Add): it is called on 0 tensors, it takes one at least; the description of "
        "the model is damaged"
    )


def test_an_input_layer_that_is_called_is_told(path):
    other = layer("InputLayer", "other", [call(tensor("image"))], batch_shape=[None, 4])
    model = functional(image(4), other, outputs=[["other", 0, 0]])
    assert refused(path, model) == (
        "layer 'other' (InputLayer): it is called on 1 tensors, an InputLayer takes none; the "
        "description of the model is damaged"
    )


def test_a_result_that_a_layer_does_not_give_is_told(path):
    relu = layer("ReLU", "relu", [call(tensor("image"))])
    model = functional(image(4), relu, outputs=[["relu", 0, 3]])
    assert refused(path, model) == (
        "layer 'relu' (ReLU): its result number 4 is taken, and it gives no so many; the "
        "description of the model is damaged"
    )


def test_a_call_that_is_not_made_is_told(path):
    model = functional(image(4), inputs=[["image", 1, 0]], outputs=[["image", 0, 0]])
    assert refused(path, model) == "layer 'image': no call makes the tensor that is taken"


@pytest.mark.parametrize(
    ("class_name", "config"),
    [
        ("__numpy__", {"value": [1.0], "dtype": "S1000000000"}),
        ("__numpy__", {"value": [[1], [2, 3]], "dtype": "float32"}),
        ("__slice__", {"start": "x", "stop": 1, "step": 1}),
    ],
)
def test_a_constant_that_is_none_is_told(class_name, config, path):
    constant = {"class_name": class_name, "config": config}
    add = {
        **layer("Add", "add", [call(tensor("image"), constant)]),
        "module": "keras.src.ops.numpy",
    }
    message = refused(path, functional(image(4), add, outputs=[["add", 0, 0]]))
    assert message.startswith(f"layer 'add': it is called with a {class_name} of ")
    assert message.endswith(", which is no constant; the description of the model is damaged")


def test_a_tensor_in_the_place_of_keywords_is_none(path):
    relu = layer("ReLU", "relu", [{"args": [tensor("image")], "kwargs": tensor("image")}])
    model = functional(image(4), relu, outputs=[["relu", 0, 0]])
    with pytest.raises(AllconvError):
        build(read(written(path, model)))


def test_the_shape_of_a_tensor_that_is_none_is_told(path):
    wrong = tensor("image")
    wrong["config"]["shape"] = [None, -4]
    model = functional(image(4), layer("ReLU", "a", [call(wrong)]), outputs=[["a", 0, 0]])
    assert refused(path, model).startswith("layer 'a', a tensor: its shape is [None, -4]; expected")
