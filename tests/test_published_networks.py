"""Published layer shapes and parameter counts: of Keras' models, of `check` and of `report`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import allconv
from allconv.layers.transposed_shapes import input_sizes
from allconv.obstacles import is_all_convolutional
from allconv.read import read
from tests.helpers.keras_comparison import outputs
from tests.helpers.published_networks import (
    INCEPTIONS,
    alexnet,
    densenet_bc,
    googlenet,
    lenet5,
    resnet18,
    vgg16,
    zfnet,
)
from tests.helpers.randomized import randomize


@dataclass(frozen=True, eq=False)
class Published:
    """What is known of a network.

    Attributes:
        build: Makes it.
        trained: Its parameters; moving means and variances, which papers leave out, not counted.
        shapes: The outputs of layers.
        parameters: The weights and biases of layers.
        multiply_adds: Of one image, in billions, as far as they were published.
        becomes: What a conversion makes of layers, as a report says it.
        thin: Arguments that build it small, its first Dense behind a map of several cells still.
    """

    build: Callable[..., keras.Model]
    trained: int
    shapes: Mapping[str, tuple[int, ...]]
    parameters: Mapping[str, int] = field(default_factory=dict)
    multiply_adds: float | None = None
    becomes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thin: Mapping[str, object] = field(default_factory=dict)


LENET5 = Published(
    lenet5,
    # LeCun et al. 1998, section II.B, but that C3 has 1,516 there, on chosen maps, that S2 and S4
    # have 44, and that those of the output are fixed.
    trained=156 + 2_416 + 48_120 + 10_164 + 850,
    shapes={
        "C1": (28, 28, 6),
        "S2": (14, 14, 6),
        "C3": (10, 10, 16),
        "S4": (5, 5, 16),
        "C5": (120,),
        "F6": (84,),
        "output": (10,),
    },
    parameters={"C1": 156, "C5": 48_120, "F6": 10_164},
    # "C5 is labeled as a convolutional layer, instead of a fully-connected layer, because if
    # LeNet-5 input were made bigger with everything else kept constant, the feature map dimension
    # would be larger than 1 x 1."
    becomes={"C5": ("Conv2D 5x5",), "F6": ("Conv2D 1x1",), "output": ("Conv2D 1x1",)},
)

ALEXNET = Published(
    alexnet,
    # Krizhevsky et al. 2012: "60 million parameters"; exactly, in Caffe's bvlc_alexnet.
    trained=60_965_224,
    # Figure 2: 186,624, 64,896, 64,896 and 43,264 neurons from conv2 on, then 4,096, 4,096 and
    # 1,000. (For conv1 it says 253,440, where a map of 55 has 290,400.)
    shapes={
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    },
    # Section 3.5: kernels of 11x11x3, 5x5x48, 3x3x256, 3x3x192 and 3x3x192.
    parameters={
        "conv1": 96 * (11 * 11 * 3 + 1),
        "conv2": 256 * (5 * 5 * 48 + 1),
        "conv3": 384 * (3 * 3 * 256 + 1),
        "conv4": 384 * (3 * 3 * 192 + 1),
        "conv5": 256 * (3 * 3 * 192 + 1),
    },
    becomes={"fc6": ("Conv2D 6x6",), "fc7": ("Conv2D 1x1",), "fc8": ("Conv2D 1x1",)},
    thin={"input_shape": (99, 99, 3), "classes": 10, "width": 1 / 16},
)

ZFNET = Published(
    zfnet,
    # The sum over figure 3 of arXiv 1311.2901, which has the shapes; there are no groups.
    trained=62_357_608,
    shapes={
        "layer1": (110, 110, 96),
        "pool1": (55, 55, 96),
        "layer2": (26, 26, 256),
        "pool2": (13, 13, 256),
        "layer3": (13, 13, 384),
        "layer4": (13, 13, 384),
        "layer5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    },
    becomes={"fc6": ("Conv2D 6x6",), "fc7": ("Conv2D 1x1",), "fc8": ("Conv2D 1x1",)},
    thin={"input_shape": (96, 96, 3), "classes": 10, "width": 1 / 16},
)

VGG16 = Published(
    vgg16,
    # arXiv 1409.1556, table 2: 138 million; exactly, keras.applications.VGG16.
    trained=138_357_544,
    # Table 1, column D, on images of 224x224.
    shapes={
        "conv1_2": (224, 224, 64),
        "conv2_2": (112, 112, 128),
        "conv3_3": (56, 56, 256),
        "conv4_3": (28, 28, 512),
        "conv5_3": (14, 14, 512),
        "pool5": (7, 7, 512),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    },
    parameters={"fc6": (7 * 7 * 512 + 1) * 4096, "fc7": (4096 + 1) * 4096},
    # Section 3.2: "the first FC layer to a 7 × 7 conv. layer, the last two FC layers to 1 × 1 conv.
    # layers".
    becomes={"fc6": ("Conv2D 7x7",), "fc7": ("Conv2D 1x1",), "fc8": ("Conv2D 1x1",)},
    thin={"input_shape": (64, 64, 3), "classes": 10, "width": 1 / 16},
)

GOOGLENET = Published(
    googlenet,
    # Caffe's bvlc_googlenet without the auxiliary classifiers; the paper counts in thousands.
    trained=6_998_552,
    # arXiv 1409.4842, table 1, column "output size".
    shapes={
        "conv1": (112, 112, 64),
        "pool1": (56, 56, 64),
        "conv2": (56, 56, 192),
        "pool2": (28, 28, 192),
        "inception_3a": (28, 28, 256),
        "inception_3b": (28, 28, 480),
        "pool3": (14, 14, 480),
        "inception_4a": (14, 14, 512),
        "inception_4b": (14, 14, 512),
        "inception_4c": (14, 14, 512),
        "inception_4d": (14, 14, 528),
        "inception_4e": (14, 14, 832),
        "pool4": (7, 7, 832),
        "inception_5a": (7, 7, 832),
        "inception_5b": (7, 7, 1024),
        "mean": (1024,),
        "linear": (1000,),
    },
    # Section 1, for which the table counts 34 million in conv1, where 7x7 on 3 colours has 118.
    multiply_adds=1.5 + 0.084,
    becomes={"mean": ("DepthwiseConv2D 7x7", "Flatten"), "linear": ("Conv2D 1x1",)},
    thin={"input_shape": (64, 64, 3), "classes": 10, "width": 1 / 8},
)

RESNET18 = Published(
    resnet18,
    # torchvision.models.resnet18, built to arXiv 1512.03385.
    trained=11_689_512,
    # Table 1, column "18-layer".
    shapes={
        "conv1": (112, 112, 64),
        "pool1": (56, 56, 64),
        "conv2_2": (56, 56, 64),
        "conv3_2": (28, 28, 128),
        "conv4_2": (14, 14, 256),
        "conv5_2": (7, 7, 512),
        "mean": (512,),
        "fc": (1000,),
    },
    multiply_adds=1.8,  # table 1, "FLOPs", by which it means multiply-adds
    becomes={"mean": ("DepthwiseConv2D 7x7", "Flatten"), "fc": ("Conv2D 1x1",)},
    thin={"input_shape": (64, 64, 3), "classes": 10, "width": 1 / 8},
)

DENSENET_BC = Published(
    densenet_bc,
    # arXiv 1608.06993, table 2: 0.8 million; exactly, in the implementations for CIFAR-10.
    trained=769_162,
    # Section 3: blocks of 32x32, 16x16 and 8x8 with 16 bottleneck layers, each of which adds 12
    # maps to 24 at first; transitions halve their number.
    shapes={
        "conv0": (32, 32, 24),
        "dense1_16": (32, 32, 24 + 16 * 12),
        "transition1": (32, 32, 108),
        "dense2_16": (16, 16, 108 + 16 * 12),
        "transition2": (16, 16, 150),
        "dense3_16": (8, 8, 150 + 16 * 12),
        "mean": (342,),
        "fc": (10,),
    },
    becomes={"mean": ("DepthwiseConv2D 8x8", "Flatten"), "fc": ("Conv2D 1x1",)},
    thin={"input_shape": (16, 16, 3), "depth": 22, "growth": 4},
)

NETWORKS = (LENET5, ALEXNET, ZFNET, VGG16, GOOGLENET, RESNET18, DENSENET_BC)


def name_of(published: Published) -> str:
    return published.build.__name__


@pytest.fixture(scope="module", params=NETWORKS, ids=name_of)
def network(request):
    """A network at full size, built once, with what was published and what allconv says of it."""
    published, model = request.param, request.param.build()
    check, report = allconv.check(model), allconv.report(model)
    return SimpleNamespace(published=published, model=model, check=check, report=report)


def test_keras_gives_the_published_shapes_and_parameters(network):
    model, published = network.model, network.published
    shapes = {name: model.get_layer(name).output.shape[1:] for name in published.shapes}
    assert shapes == published.shapes
    counts = {name: model.get_layer(name).count_params() for name in published.parameters}
    assert counts == published.parameters
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == published.trained


def test_check_gives_the_published_shapes(network):
    assert network.check.passed
    shapes = {row.layer: row.output_shape for row in network.check.rows}
    assert {name: shapes[name][1:] for name in network.published.shapes} == network.published.shapes
    for layer in network.model.layers:
        assert shapes[layer.name] == layer.output.shape


def test_report_gives_the_published_parameters(network):
    rows = {row.layer: row for row in network.report.rows}
    counts = {name: rows[name].parameters for name in network.published.parameters}
    assert counts == network.published.parameters
    statistics = sum(math.prod(weight.shape) for weight in network.model.non_trainable_weights)
    total = network.report.totals.parameters.before
    assert total == network.published.trained + statistics


def test_everything_becomes_convolutional_and_computes_the_same(network):
    report = network.report
    assert report.obstacles == () and report.lossless
    rows = {row.layer: row for row in report.rows}
    becomes = {name: rows[name].becomes for name in network.published.becomes}
    assert becomes == network.published.becomes
    assert {row.layer for row in report.rows if row.kind == "Dense"} <= set(becomes)


def test_a_convolution_has_the_dense_layer_s_parameters(network):
    rows = [row for row in network.report.rows if row.kind == "Dense"]
    assert rows and all(row.parameters_after == row.parameters for row in rows)


@pytest.mark.parametrize("network", [GOOGLENET, RESNET18], ids=name_of, indirect=True)
def test_report_gives_the_published_multiply_adds(network):
    billions = network.report.totals.multiply_accumulates.before / 1e9
    assert billions == pytest.approx(network.published.multiply_adds, rel=0.02)


# what else the papers say


@pytest.mark.parametrize("network", [GOOGLENET], ids=name_of, indirect=True)
def test_the_inceptions_have_the_parameters_of_the_table(network):
    # arXiv 1409.4842, table 1, column "params": weights without biases, in units of 1,024. It does
    # not always hold what its own numbers of filters give: 463 for 4c, where they give 497.
    published = dict(zip(INCEPTIONS, (159, 380, 364, 437, 463, 580, 840, 1072, 1388), strict=True))
    for name, units in published.items():
        inner = f"inception_{name}_"
        convs = [layer for layer in network.model.layers if layer.name.startswith(inner)]
        weights = sum(math.prod(layer.kernel.shape) for layer in convs if layer.weights)
        assert weights / 1024 == pytest.approx(units, rel=0.08)


def test_alexnet_in_one_tower_has_its_grouped_kernels_twice():
    model = alexnet(groups=1)
    grouped = 256 * 5 * 5 * 48 + 384 * 3 * 3 * 192 + 256 * 3 * 3 * 192
    assert model.count_params() == ALEXNET.trained + grouped == 62_378_344
    assert allconv.report(model).totals.parameters.before == 62_378_344


def test_alexnet_s_map_of_55_needs_images_of_227_although_the_paper_says_224():
    assert input_sizes(55, window=11, stride=4) == range(227, 231)


# numbers


@pytest.mark.parametrize("published", NETWORKS, ids=name_of)
def test_a_thin_network_keeps_its_numbers(published):
    model = randomize(published.build(**published.thin))
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    assert allconv.verify(model, converted).passed is True


def test_an_image_of_384_gives_a_map_of_6_in_vgg16():
    model = randomize(vgg16(width=1 / 32))
    converted = allconv.convert(model, input_size="any")
    images = np.random.default_rng(0).normal(size=(1, 384, 384, 3)).astype("float32")
    (classes,) = outputs(converted, images)
    assert classes.shape == (1, 6, 6, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("published", NETWORKS, ids=name_of)
def test_a_network_at_full_size_keeps_its_numbers(published):
    model = randomize(published.build())
    converted = allconv.convert(model)
    assert is_all_convolutional(read(converted))
    assert allconv.verify(model, converted).passed is True
