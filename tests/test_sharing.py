"""Names, shared layers and fresh weights: what the engine makes of the layers that rules return."""

from __future__ import annotations

import pytest

from allconv.errors import ShapeError
from allconv.rewrite import rewrite
from allconv.rule import rule
from tests.helpers.plain_graphs import conv, conv_to_doubled, graph, image, names, relu


@rule(layer="ReLU", keeps="function")
def relu_to_pair(match):
    """ReLU  ->  two of them."""
    if match.node.name.endswith("first") or match.before(match.node).kind == "ReLU":
        return match.absent("it is one of a pair")
    first, second = match.layer("ReLU", "first"), match.layer("ReLU")
    return second(first(match.before(match.node)))


@rule(layer="ReLU", keeps="axes")
def relu_to_wide_conv(match):
    """ReLU  ->  Conv2D of kernel 5 with 7 filters, for maps large enough."""
    return conv(match.node.name, 7, size=5)(match.before(match.node))


def test_a_part_has_the_name_of_its_layer_and_its_own():
    start = image()
    plan = rewrite(graph([start], [relu("act")(start)]), [relu_to_pair])
    assert names(plan) == ["image", "act_first", "act"]


def test_a_parts_name_that_the_model_has_already_is_numbered():
    start = image()
    net = graph([start], [relu("act")(conv("act_first")(start))])
    plan = rewrite(net, [relu_to_pair])
    assert names(plan) == ["image", "act_first", "act_first_1", "act"]
    assert plan.after.nodes[1].kind == "Conv2D"


def test_a_shared_layer_whose_calls_are_rewritten_alike_stays_shared():
    left, right = image("left"), image("right")
    shared = conv("shared")
    net = graph([left, right], [shared(left), shared(right)])
    plan = rewrite(net, [conv_to_doubled])
    ends = plan.after.outputs
    assert ends[0].spec is ends[1].spec
    assert (ends[0].name, plan.unshared) == ("shared", ())
    assert plan.origins[ends[0].spec] is shared


def test_a_shared_layer_whose_calls_are_rewritten_differently_is_split_and_named():
    @rule(layer="Conv2D", keeps="function")
    def first_conv_to_doubled(match):
        """Conv2D on the input  ->  Conv2D of twice the kernel."""
        if match.before(match.node).kind != "InputLayer" or match.node.config.get("doubled"):
            return match.absent("not on the input")
        return conv(match.node.name, doubled=True)(match.before(match.node))

    start = image()
    shared = conv("shared")
    plan = rewrite(graph([start], [shared(shared(start))]), [first_conv_to_doubled])
    assert sorted(names(plan)) == ["image", "shared", "shared_1"]
    assert plan.unshared == ("shared",)


def test_a_shared_layer_of_which_one_rule_makes_different_layers_is_split_and_named():
    @rule(layer="Conv2D", keeps="function")
    def conv_to_numbered(match):
        """Conv2D  ->  Conv2D that knows whether it is on the input."""
        if "first" in match.node.config:
            return match.absent("it knows already")
        source = match.before(match.node)
        return conv(match.node.name, first=source.kind == "InputLayer")(source)

    start = image()
    shared = conv("shared")
    plan = rewrite(graph([start], [shared(shared(start))]), [conv_to_numbered])
    assert names(plan) == ["image", "shared", "shared_1"]
    assert [node.config["first"] for node in plan.after.nodes[1:]] == [True, False]
    assert plan.unshared == ("shared",)


def test_a_layer_without_weights_that_is_called_more_often_than_before_is_split():
    @rule(layer="Conv2D", keeps="function")
    def relu_conv_to_conv_relu(match):
        """ReLU, Conv2D  ->  Conv2D, ReLU."""
        act = match.before(match.node)
        if act.kind != "ReLU":
            return match.absent("no ReLU before it")
        return act.spec(match.node.spec(match.before(act)))

    start = image()
    act = relu("act")(start)
    net = graph([start], [conv("left")(act), conv("right")(act)])
    plan = rewrite(net, [relu_conv_to_conv_relu])
    assert sorted(names(plan)) == ["image", "left", "left_conv", "right", "right_conv"]
    assert [spec.kind for spec in plan.after.specs()].count("ReLU") == 2
    assert plan.unshared == ()


def test_a_layer_that_no_longer_fits_starts_fresh_and_is_listed():
    start = image()
    plan = rewrite(graph([start], [conv("after")(relu("act")(start))]), [relu_to_wide_conv])
    kernel = plan.after.outputs[0].spec.weights["kernel"]
    assert (kernel.shape, kernel.is_fresh) == ((1, 1, 7, 3), True)
    assert plan.fresh == ("after",)
    assert not plan.lossless


def test_a_shared_layer_that_no_longer_fits_starts_fresh_once():
    start = image()
    after, act = conv("after"), relu("act")
    net = graph([start], [after(act(start)), after(act(relu("other")(start)))])
    plan = rewrite(net, [relu_to_wide_conv.with_options(None, only=["act"])])
    assert plan.after.outputs[0].spec is plan.after.outputs[1].spec
    assert plan.fresh == ("after",)


def test_a_layer_that_a_smaller_map_does_not_fit_is_an_error_that_says_what_to_do():
    start = image()
    net = graph([start], [conv("after", size=6)(relu("act")(start))])
    with pytest.raises(ShapeError) as error:
        rewrite(net, [relu_to_wide_conv])
    assert str(error.value) == (
        "layer 'after' (Conv2D): a window of 6 does not fit a map of 4; the maps before it became "
        "smaller, choose a strategy that keeps their sizes"
    )
