"""`segmenter`: each pixel gets the score of its own place, from the classifier's own weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import allconv


def classifier(size=(28, 28), **config):
    """The README's network: two blocks of convolution and pool, and a head over the whole map."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((*size, 1)),
            layers.Conv2D(3, 3, padding="same", activation="relu", name="first"),
            layers.MaxPooling2D(2, name="half"),
            layers.Conv2D(4, 3, activation="relu", name="second"),
            layers.MaxPooling2D(2, name="quarter"),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(6, activation="relu", name="hidden"),
            layers.Dense(3, activation="softmax", name="classes", **config),
        ]
    )


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def seen(model, image):
    return np.asarray(model(image, training=False))


SKIPPED = pytest.mark.parametrize("skips", [1, 2])


@SKIPPED
@pytest.mark.parametrize("size", [(28, 28), (33, 47), (9, 12)])
def test_untrained_a_network_with_skips_is_the_one_without_them(size, skips):
    plain = allconv.segmenter(classifier(), input_size=size)
    more = allconv.segmenter(classifier(), input_size=size, skips=skips)
    assert plain.output_shape == more.output_shape == (None, *size, 4)
    image = images(2, *size, 1)
    np.testing.assert_array_equal(seen(plain, image), seen(more, image))
    assert allconv.verify(plain, more).passed


def means(windows, size, head):
    """A network of means, two channels each by itself; a window is (cells, stride, padding)."""
    net = [keras.Input((*size, 2))]
    for cells, stride, padding in windows:
        mean = keras.initializers.Constant(1 / cells**2)
        net.append(
            layers.DepthwiseConv2D(
                cells,
                strides=stride,
                padding=padding,
                use_bias=False,
                depthwise_initializer=mean,
            )
        )
    net.append(layers.Conv2D(2, 1, use_bias=False, name="mix"))
    net += head
    model = keras.Sequential(net)
    model.get_layer("mix").set_weights([np.eye(2)[None, None]])
    return model


def flat_mean(model):
    """Give the Dense of a head the weights by which it takes the mean of each channel."""
    dense = model.get_layer("classes")
    cells = dense.kernel.shape[0] // 2
    dense.set_weights([np.tile(np.eye(2), (cells, 1)) / cells])


HALVES = (2, 2, "valid")
STRIDED = {
    "4 by pools of two": [HALVES, HALVES],
    "4 by windows of three": [(3, 2, "same"), (3, 2, "same")],
    "4 by windows of two and three": [(3, 2, "valid"), HALVES],
    "6 by strides of two and three": [HALVES, (4, 3, "same")],
    "8 by pools of two": [HALVES, HALVES, HALVES],
    "8 with windows between": [(3, 1, "same"), HALVES, (5, 1, "valid"), HALVES, (3, 2, "same")],
}


def ramp(size):
    return np.stack(np.mgrid[: size[0], : size[1]], -1)[None].astype("float32")


@pytest.mark.parametrize(("end", "skips"), [("dense", 0), ("dense", 1), ("mean", 1)])
@pytest.mark.parametrize("windows", STRIDED.values(), ids=STRIDED)
def test_each_pixel_gets_back_its_own_coordinates(windows, end, skips):
    """With skips of the same means every pixel gets them once from each map."""
    own, size = (28, 28), (97, 102)
    head = [layers.Flatten()] if end == "dense" else [layers.GlobalAveragePooling2D()]
    model = means(windows, own, [*head, layers.Dense(2, use_bias=False, name="classes")])
    flat_mean(model)
    made = allconv.segmenter(model, input_size=size, skips=skips)
    for layer in made.layers:
        if "_of_" in layer.name and layer.weights:
            layer.set_weights([np.eye(2, 3, 1)[None, None], np.zeros(3)])
    found = seen(made, ramp(size))[0]
    inside = (slice(45, -45),) * 2
    np.testing.assert_array_equal(found[..., 0], 0)
    expected = ramp(size)[0][inside] * (1 + skips)
    np.testing.assert_allclose(found[inside][..., 1:], expected, atol=2e-4)


WINDOWS = st.tuples(st.integers(1, 4), st.integers(1, 3), st.sampled_from(["valid", "same"]))


@settings(max_examples=12, deadline=None)
@given(
    windows=st.lists(WINDOWS, min_size=1, max_size=3),
    own=st.integers(50, 56),
    size=st.integers(200, 230),
    skips=st.integers(0, 1),
)
def test_whatever_the_windows_each_cell_of_a_line_gets_back_its_own_coordinate(
    windows, own, size, skips
):
    net = [keras.Input((own, 1)), layers.Conv1D(1, 1, kernel_initializer="ones")]
    for cells, stride, padding in windows:
        mean = keras.initializers.Constant(1 / cells)
        net.append(layers.Conv1D(1, cells, stride, padding, kernel_initializer=mean))
    model = keras.Sequential([*net, layers.Flatten(), layers.Dense(1, name="classes")])
    dense = model.get_layer("classes")
    dense.set_weights([np.full(dense.kernel.shape, 1 / dense.kernel.shape[0]), np.zeros(1)])
    finer = any(stride > 1 for _, stride, _ in windows)
    made = allconv.segmenter(model, input_size=(size,), skips=skips * finer, background=False)
    for layer in made.layers:
        if "_of_" in layer.name and layer.weights:
            layer.set_weights([np.ones((1, 1, 1)), np.zeros(1)])
    line = np.arange(size, dtype="float32")[None, :, None]
    found = seen(made, line)[0, 80:-80]
    np.testing.assert_allclose(found, line[0, 80:-80] * (1 + skips * finer), rtol=1e-5)


def test_the_crop_of_vgg16_is_the_published_one_for_as_much_padding():
    """FCN-32s crops 19 of what it upsamples where the first convolution pads by 100."""
    net = [keras.Input((224, 224, 1))]
    for convs in (2, 2, 3, 3, 3):
        net += [layers.Conv2D(1, 3, padding="same") for _ in range(convs)]
        net.append(layers.MaxPooling2D(2))
    model = keras.Sequential([*net, layers.Flatten(), layers.Dense(2)])
    made = allconv.segmenter(model, input_size=(384, 500))
    before = made.get_layer("pad_image").padding[0][0] + 1  # the first convolution's own one
    assert made.get_layer("crop_32").cropping[0][0] - 19 == before - 100


def residual(size):
    """Means in two branches that lie half a pixel apart on even sizes, as in CIFAR's ResNets."""
    tensor = image = keras.Input((*size, 2))
    for _ in range(2):
        branches = [
            layers.DepthwiseConv2D(
                cells,
                strides=2,
                padding="same",
                use_bias=False,
                depthwise_initializer=keras.initializers.Constant(1 / cells**2),
            )(tensor)
            for cells in (3, 1)
        ]
        tensor = layers.Average()(branches)
    mean = layers.GlobalAveragePooling2D()(tensor)
    model = keras.Model(image, layers.Dense(2, use_bias=False, name="classes")(mean))
    flat_mean(model)
    return model


@pytest.mark.parametrize("own", [(28, 28), (29, 30)])
@pytest.mark.parametrize("size", [(64, 65), (66, 67)])
def test_branches_lie_as_at_the_classifiers_own_size(own, size):
    made = allconv.segmenter(residual(own), input_size=size, background=False)
    around = made.get_layer("pad_image").padding
    padded = [n + sum(margin) for n, margin in zip(size, around, strict=True)]
    assert [(n - least) % 4 for n, least in zip(padded, own, strict=True)] == [0, 0]
    inside = (slice(16, -16),) * 2
    found = seen(made, ramp(size))[0]
    np.testing.assert_allclose(found[inside], ramp(size)[0][inside], atol=1e-4)


@pytest.mark.parametrize("size", [(9, 12), (28, 28), (41, 30)])
@pytest.mark.parametrize("skips", [0, 2])
def test_every_pixel_has_a_score_of_full_weight(size, skips):
    model = classifier()
    for layer in model.layers:
        layer.set_weights([np.zeros_like(each) for each in layer.get_weights()])
    model.get_layer("classes").bias.assign([1, 2, 3])
    found = seen(allconv.segmenter(model, input_size=size, skips=skips), images(1, *size, 1))
    np.testing.assert_allclose(found, np.broadcast_to([0, 1, 2, 3], found.shape), rtol=1e-6)


def test_the_scores_are_the_classifiers_logits_for_the_crops_around():
    """Without padding in the network: where a cell falls on a pixel, it is that of the crop."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            layers.Conv2D(3, 3, strides=4, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, name="classes"),
        ]
    )
    image = images(1, 33, 33, 1)
    made = allconv.segmenter(model, input_size=(33, 33), background=False)
    found = seen(made, image)[0]
    # Two windows of three, four apart, see seven pixels; their middle is the fourth.
    (above, _), (left, _) = made.get_layer("pad_image").padding
    for row, column in [(11 - above, 7 - left), (23 - above, 19 - left)]:
        crop = image[:, row - 3 : row + 6, column - 3 : column + 6]
        np.testing.assert_allclose(found[row, column], seen(model, crop)[0], atol=1e-5)


def test_a_last_mean_is_left_out_and_its_dense_scores_each_cell():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(3, 3, activation="relu", padding="same", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="sigmoid", name="classes"),
        ]
    )
    image = images(1, 12, 12, 1)
    found = seen(allconv.segmenter(model, background=False), image)
    kernel, bias = model.get_layer("classes").get_weights()
    np.testing.assert_allclose(found, seen(model.layers[0], image) @ kernel + bias, atol=1e-5)


def test_the_background_comes_first_and_begins_at_zero():
    model = classifier()
    kernel, bias = allconv.segmenter(model).get_layer("classes").get_weights()
    own, own_bias = model.get_layer("classes").get_weights()
    np.testing.assert_array_equal(kernel[0, 0, :, 1:], own)
    np.testing.assert_array_equal(bias[1:], own_bias)
    assert not kernel[..., 0].any() and not bias[0]


def test_a_number_of_classes_starts_the_scores_fresh_and_the_background_at_zero():
    made = allconv.segmenter(classifier(), classes=5)
    kernel, bias = made.get_layer("classes").get_weights()
    assert made.output_shape == (None, 28, 28, 6)
    assert kernel[..., 1:].all() and not kernel[..., 0].any() and not bias.any()
    assert allconv.segmenter(classifier(), classes=5, background=False).output_shape[-1] == 5


def test_upsampling_is_trained_where_it_is_wanted():
    fixed = allconv.segmenter(classifier())
    trained = allconv.segmenter(classifier(), upsampling="trainable")
    up = [model.get_layer("upsample_4") for model in (fixed, trained)]
    assert [layer.trainable for layer in up] == [False, True]
    np.testing.assert_array_equal(*(layer.get_weights()[0] for layer in up))


def test_it_trains_and_loads_without_allconv(tmp_path):
    made = allconv.segmenter(classifier((12, 12)), input_size=(14, 15), skips=1)
    assert not made.compiled
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    image, mask = images(4, 14, 15, 1), np.zeros((4, 14, 15), int)
    made.compile(keras.optimizers.SGD(0.01), loss)
    first = made.evaluate(image, mask, verbose=0)
    made.fit(image, mask, epochs=3, verbose=0)
    assert made.evaluate(image, mask, verbose=0) < first
    made.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(seen(again, image), seen(made, image))


@pytest.mark.parametrize("rank", [1, 3])
def test_along_one_axis_and_three_as_along_two(rank):
    conv, pool = getattr(layers, f"Conv{rank}D"), getattr(layers, f"MaxPooling{rank}D")
    model = keras.Sequential(
        [
            keras.Input((*(8,) * rank, 1)),
            conv(2, 3, padding="same"),
            pool(2),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    size = (11, 9, 10)[:rank]
    made = allconv.segmenter(model, input_size=size, skips=1)
    assert seen(made, images(1, *size, 1)).shape == (1, *size, 3)


def gated():
    image = keras.Input((8, 8, 1))
    tensor = layers.Conv2D(2, 3, padding="same")(image)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(tensor)
    tensor = layers.Flatten()(layers.Multiply(name="excite")([tensor, gate]))
    return keras.Model(image, layers.Dense(2)(tensor))


def one_by_one():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, padding="same")])


def hourglass():
    image = keras.Input((8, 8, 1))
    tensor = layers.Conv2D(2, 3, padding="same")(image)
    small = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(tensor))
    tensor = layers.GlobalAveragePooling2D()(layers.Add(name="sum")([tensor, small]))
    return keras.Model(image, layers.Dense(2)(tensor))


def free():
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            layers.Conv2D(2, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )


def two_outputs():
    image = keras.Input((8, 8, 1))
    flat = layers.Flatten()(image)
    return keras.Model(image, [layers.Dense(2)(flat), layers.Dense(3)(flat)])


def channels_first():
    conv = layers.Conv2D(2, 3, data_format="channels_first")
    return keras.Sequential([keras.Input((1, 8, 8)), conv, layers.Flatten(), layers.Dense(2)])


def normalized_at_the_end():
    net = [layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2), layers.BatchNormalization()]
    return keras.Sequential([keras.Input((8, 8, 1)), *net])


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (classifier, {"skips": 3}, r"skips is 3; model '.*' has maps of 2 finer strides: 2x2, 1x1"),
        (classifier, {"skips": -1}, "skips is -1; expected a number >= 0"),
        (classifier, {"classes": 0}, "classes is 0; expected a number >= 1, or None"),
        (classifier, {"upsampling": "cubic"}, "upsampling is 'cubic'; expected 'fixed' or"),
        (classifier, {"input_size": "any"}, "input_size is 'any'; expected one size"),
        (classifier, {"input_size": (5,)}, "input size 5 is for maps of 1 axis, and no input"),
        (classifier, {"classes": 3000}, r"upsamples 3001 classes by 4 has 576,384,064 values"),
        (free, {}, "input_size is None, and model '.*' leaves the size of its images free"),
        (two_outputs, {}, "has 1 inputs, 1 of them images, and 2 outputs; expected one image"),
        (
            gated,
            {},
            r"makes no segmenter, which takes larger .*\n  excite \(Multiply\): .*'squeeze'",
        ),
        (hourglass, {"input_size": (9, 8)}, r"'sum' \(Add\) does not fit images of 9x8 with the"),
        (one_by_one, {}, "gives a map as large as its images, 8x8: it is a segmenter already"),
        (channels_first, {}, "takes images with channels first, of which no segmenter is made yet"),
        (normalized_at_the_end, {}, r"'batch_norm.*' \(BatchNormalization\) gives the last map"),
    ],
)
def test_what_makes_no_segmenter_is_an_error_that_says_why(model, options, words):
    with pytest.raises((allconv.ConversionError, allconv.OptionError), match=words):
        allconv.segmenter(model(), **options)


def test_a_model_of_free_sizes_takes_the_size_that_is_given():
    assert allconv.segmenter(free(), input_size=(13, 17)).output_shape == (None, 13, 17, 3)
