"""The engine, on graphs of plain data and rules made up for the purpose: no framework is needed."""

from __future__ import annotations

import pytest

from allconv.errors import RuleError, ShapeError
from allconv.graph import Spec
from allconv.rewrite import Change, rewrite
from allconv.rule import rule
from tests.helpers.plain_graphs import conv, conv_to_doubled, graph, image, names, relu


@rule(layer="ReLU", keeps="function")
def relu_to_nothing(match):
    """ReLU  ->  what it takes."""
    return match.before(match.node)


@rule(layer="ReLU", keeps="function")
def relu_to_elu(match):
    """ReLU  ->  ELU."""
    return match.layer("ELU")(match.before(match.node))


@rule(layer="ELU", keeps="function")
def elu_to_nothing(match):
    """ELU  ->  what it takes."""
    return match.before(match.node)


@rule(layer="Conv2D", keeps="shape")
def conv_to_narrow(match):
    """Conv2D  ->  Conv2D of kernel 3, which keeps neither sizes nor words."""
    return conv(match.node.name, size=3)(match.before(match.node))


# what is applied, and what is said of it


def test_rules_are_tried_in_order_and_the_first_that_applies_wins():
    start = image()
    net = graph([start], [relu("act")(start)])
    assert rewrite(net, [relu_to_nothing, relu_to_elu]).changes[0].rule == "relu_to_nothing"
    assert rewrite(net, [relu_to_elu, relu_to_nothing]).changes[0].rule == "relu_to_elu"


def test_without_a_rule_that_applies_the_graph_is_the_same_and_the_skips_say_why():
    start = image()
    net = graph([start], [conv("conv", doubled=True)(start)])
    plan = rewrite(net, [conv_to_doubled, relu_to_nothing])
    assert names(plan) == ["image", "conv"]
    assert plan.changes == () and plan.lossless
    ((skip,),) = filter(None, plan.skips.values())
    assert (skip.layer, skip.rule, skip.reason, skip.absent) == (
        "conv",
        "conv_to_doubled",
        "it is doubled already",
        False,
    )


def test_a_rule_for_some_layers_leaves_the_others():
    start = image()
    net = graph([start], [relu("second")(relu("first_one")(start))])
    plan = rewrite(net, [relu_to_nothing.with_options(None, only=["second"])])
    assert names(plan) == ["image", "first_one"]


def test_rules_are_tried_again_on_what_rules_give():
    start = image()
    net = graph([start], [relu("act")(start)])
    plan = rewrite(net, [elu_to_nothing, relu_to_elu])
    assert names(plan) == ["image"]
    assert [change.rule for change in plan.changes] == ["relu_to_elu", "elu_to_nothing"]
    assert {change.layer for change in plan.changes} == {"act"}


def test_the_models_own_output_may_become_its_input():
    start = image()
    plan = rewrite(graph([start], [relu("act")(start)]), [relu_to_nothing])
    assert plan.after.outputs == plan.after.inputs


def test_what_no_output_needs_any_more_is_left_out():
    @rule(layer="Add", keeps="function")
    def add_to_left(match):
        """Add  ->  its first summand."""
        return match.node.inputs[0]

    start = image()
    add = Spec("Add", "sum", {})
    net = graph([start], [add(relu("left")(start), relu("right")(start))])
    assert names(rewrite(net, [add_to_left])) == ["image", "left"]


# where a rule, or a choice, goes wrong


def test_rules_that_fire_on_one_another_without_end_are_an_error_that_names_them():
    @rule(layer="ELU", keeps="function")
    def elu_to_relu(match):
        """ELU  ->  ReLU."""
        return match.layer("ReLU")(match.before(match.node))

    start = image()
    with pytest.raises(RuleError) as error:
        rewrite(graph([start], [relu("act")(start)]), [relu_to_elu, elu_to_relu])
    message = str(error.value)
    assert message.startswith("layer 'act' (")
    assert "): these rules fire on one another without end: " in message
    assert {"relu_to_elu", "elu_to_relu"} == set(message.rpartition(": ")[2].split(", "))


def test_a_rule_that_changes_a_shape_that_it_keeps_is_an_error_that_names_both_shapes():
    start = image()
    with pytest.raises(RuleError) as error:
        rewrite(graph([start], [conv("conv")(start)]), [conv_to_narrow])
    assert str(error.value) == (
        "layer 'conv' (Conv2D): rule 'conv_to_narrow' keeps the shape but turned the shape "
        "(None, 8, 8, 3) into (None, 6, 6, 3)"
    )


def raises(match):
    """Conv2D  ->  an error of Python's."""
    return match.no_such_thing


def returns_nothing(match):
    """Conv2D  ->  None, which is no outcome."""


def does_not_fit(match):
    """Conv2D  ->  a pool larger than the map."""
    return match.layer("MaxPooling2D", pool_size=99)(match.before(match.node))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (raises, "rule 'raises' failed: AttributeError: 'Match' object has no attribute"),
        (returns_nothing, "rule 'returns_nothing' returned NoneType; a rule returns a tensor"),
    ],
)
def test_a_rule_that_fails_is_an_error_that_names_it_and_the_layer(function, message):
    start = image()
    with pytest.raises(RuleError) as error:
        rewrite(
            graph([start], [conv("conv")(start)]),
            [rule(layer="Conv2D", keeps="function")(function)],
        )
    assert str(error.value).startswith(f"layer 'conv' (Conv2D): {message}")


def test_what_a_rule_builds_and_does_not_fit_is_a_shape_error_that_names_both():
    start = image()
    with pytest.raises(ShapeError) as error:
        rewrite(
            graph([start], [conv("conv")(start)]),
            [rule(layer="Conv2D", keeps="function")(does_not_fit)],
        )
    assert str(error.value).startswith(
        "layer 'conv' (Conv2D): rule 'does_not_fit' builds what does not fit: "
    )


# what a rule may ask


def test_a_rule_sees_the_users_of_a_tensor_in_the_model_an_output_counting_as_one():
    seen = {}

    @rule(layer=("ReLU", "Conv2D"), keeps="function")
    def nothing_to_nothing(match):
        """Looks, and leaves."""
        seen[match.node.name] = sorted(user.name for user in match.users(match.node))
        return match.absent("never")

    start = image()
    act = relu("act")(start)
    rewrite(graph([start], [conv("left")(act), conv("right")(act), act]), [nothing_to_nothing])
    assert seen == {"act": ["act", "left", "right"], "left": ["left"], "right": ["right"]}


def test_a_rule_that_keeps_the_function_keeps_what_is_known_of_the_values():
    @rule(layer="ReLU", keeps="function")
    def relu_to_rescaling(match):
        """ReLU  ->  something of which no bound is known, but the rule says it is the same."""
        return match.layer("Rescaling", scale=1.0, offset=0.0)(match.before(match.node))

    start = image()
    plan = rewrite(graph([start], [relu("act")(start)]), [relu_to_rescaling])
    assert plan.after.outputs[0].lower_bound == 0.0


def test_a_remark_and_a_lesser_promise_are_recorded():
    @rule(layer="ReLU", keeps="function")
    def relu_to_remark(match):
        """ReLU  ->  its input, with a remark."""
        return match.becomes(match.before(match.node), "shape", "not quite")

    start = image()
    plan = rewrite(graph([start], [relu("act")(start)]), [relu_to_remark])
    assert plan.changes == (Change("act", "relu_to_remark", "shape", "not quite"),)
    assert not plan.lossless
