"""Layers from a file are made of Keras' own classes or refused; a live model's are left alone."""

from __future__ import annotations

from dataclasses import replace

import keras
import pytest
from keras import layers

from allconv.building.build import build
from allconv.building.untrusted import LISTS
from allconv.errors import ConversionError
from allconv.read import read
from tests.helpers.keras_comparison import network

KERNEL = {"class_name": "GlorotUniform", "config": {"seed": 1}}


def from_file(model):
    return replace(read(model), from_file=True)


def with_setting(graph, key, value):
    """The graph with a setting of its convolution changed."""
    (conv,) = [spec for spec in graph.specs() if spec.kind == "Conv2D"]
    changes = {spec: spec for spec in graph.specs()}
    changes[conv] = conv.with_config(**{"dtype": "float32", key: value})
    return graph.with_specs(changes)


def plain(graph):
    """The graph with the names of dtypes in the places of policies, as files are read."""
    layers = [spec for spec in graph.specs() if "dtype" in spec.config]
    specs = {spec: spec.with_config(dtype="float32") for spec in layers}
    return graph.with_specs(specs)


@pytest.fixture
def graph():
    return plain(from_file(network((6, 6, 2), layers.Conv2D(3, 3, name="conv"))))


def test_objects_are_looked_up_in_keras_own_lists_and_what_is_said_of_modules_is_not_read(graph):
    odd = {"module": "os", "class_name": "HeNormal", "config": {"seed": 3}, "registered_name": "x"}
    model = build(with_setting(graph, "kernel_initializer", odd))
    initializer = model.get_layer("conv").kernel_initializer
    assert type(initializer) is keras.initializers.HeNormal and initializer.seed == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kernel_initializer", {"module": "os", "class_name": "system", "config": {}}),
        ("kernel_initializer", {"class_name": "L2", "config": {}}),
        ("kernel_initializer", {"class_name": "get", "config": {}}),
        ("kernel_initializer", {"module": "os", "class_name": "function", "config": "system"}),
        ("kernel_initializer", {"class_name": "HeNormal", "config": {"seed": KERNEL}}),
        ("kernel_regularizer", {"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}),
        ("activation", {"class_name": "function", "config": "system"}),
        ("activation", {"module": "builtins", "class_name": "function", "config": "eval"}),
        ("activation", {"module": "os", "class_name": "ReLU", "config": {}}),
        ("activation", {"class_name": "Dense", "config": {"units": 3}}),
        ("activation", {"class_name": "ReLU", "config": {"max_value": KERNEL}}),
        ("padding", {"class_name": "HeNormal", "config": {}}),
        ("strides", [{"class_name": "HeNormal", "config": {}}]),
        ("dtype", {"module": "os", "class_name": "system", "config": {}}),
    ],
)
def test_any_other_object_is_refused_with_the_layer_and_the_setting(graph, key, value):
    with pytest.raises(ConversionError, match=rf"Conv2D 'conv' \(its {key}\); if you trust"):
        build(with_setting(graph, key, value))


@pytest.mark.parametrize("setting", LISTS)
def test_the_list_of_a_setting_has_all_classes_of_keras_and_no_others(setting):
    module, names = LISTS[setting]
    keras_has = {
        found.__name__
        for found in vars(getattr(keras, module)).values()
        if isinstance(found, type) and found.__subclasses__() == []
    }
    assert keras_has - {"RandomInitializer"} <= names
    assert all(isinstance(getattr(getattr(keras, module), name), type) for name in names)


def test_a_layer_with_further_weights_is_refused():
    model = network((6,), layers.Dense(3, name="adapted"))
    model.layers[-1].enable_lora(2)
    with pytest.raises(ConversionError, match=r"Dense 'adapted' \(LoRA's weights, or quantized"):
        build(plain(from_file(model)))


def test_an_object_that_cannot_be_made_is_told(graph):
    value = {"class_name": "HeNormal", "config": {"colour": "blue"}}
    message = r"'conv' \(Conv2D\): its kernel_initializer cannot be made of .*colour"
    with pytest.raises(ConversionError, match=message):
        build(with_setting(graph, "kernel_initializer", value))


def test_layers_that_allconv_does_not_know_are_refused_all_at_once():
    wrapped = layers.TimeDistributed(layers.Conv2D(2, 1), name="wrapped")
    model = network((2, 6, 6, 2), wrapped, layers.Lambda(lambda x: x, name="code"))
    with pytest.raises(ConversionError) as caught:
        build(plain(from_file(model)))
    assert str(caught.value) == (
        "allconv does not make these from a file: TimeDistributed "
        "'wrapped', Lambda 'code'; write the model in Python with layers of Keras in their places, "
        "take this file's weights by model.load_weights(FILE), and give allconv the model "
        "(Rescaling(1 / 255) is a Lambda of x / 255); or, if you trust the file, load it in Python "
        "by keras.saving.load_model(FILE, safe_mode=False), which runs the code in it, and give "
        "allconv the model: allconv.convert(model, strict=False) leaves such layers as they are"
    )


def test_an_operation_outside_keras_ops_is_refused():
    graph = plain(from_file(network((6, 6, 2), keras.ops.relu)))
    (operation,) = [spec for spec in graph.specs() if spec.kind == "ops.Relu"]
    build(graph)
    moved = graph.with_specs({operation: replace(operation, module="keras.src.ops.evil")})
    with pytest.raises(ConversionError, match=r"ops\.Relu"):
        build(moved)


def test_a_model_in_memory_may_have_what_it_likes():
    def zeros(shape, dtype=None):
        return keras.ops.zeros(shape, dtype)

    model = network((6, 6, 2), layers.Conv2D(3, 3, bias_initializer=zeros, name="conv"))
    assert build(read(model)).get_layer("conv").bias_initializer is zeros
