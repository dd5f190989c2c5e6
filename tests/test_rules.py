"""The contract that every rule keeps, on a model where it fires and on one where it does not."""

from __future__ import annotations

import copy

import keras
import numpy as np
import pytest

import allconv
from allconv import rules
from allconv.errors import OptionError, RuleError
from allconv.plan import plan_conversion
from allconv.read import read
from allconv.rewrite import rewrite
from allconv.rule import Rule, rule
from tests.helpers.keras_comparison import assert_agree, outputs, random_images
from tests.helpers.rule_cases import CASES

RULES = {value.name: value for value in vars(rules).values() if isinstance(value, Rule)}


each_rule = pytest.mark.parametrize("name", CASES)


def snapshot(graph):
    """All that a graph is made of, the containers copied."""
    nodes = (*graph.nodes, *graph.inputs, *graph.outputs)
    containers = copy.deepcopy([(dict(node.config), dict(node.kwargs)) for node in nodes])
    fixed = [(n, n.spec, n.inputs, n.args, n.shape, dict(n.spec.weights)) for n in nodes]
    return fixed, containers


def test_every_rule_has_a_case_here():
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rule_is_named_from_to_and_its_first_line_is_the_rule(rule):
    assert "_to_" in rule.name
    before, arrow, after = rule.summary.partition("  ->  ")
    assert before and arrow and after
    assert rule.keeps in ("function", "shape", "axes")


@each_rule
def test_a_rule_fires(name):
    changes = plan_conversion(CASES[name].fires(), **CASES[name].options).changes
    (first, *_) = (change for change in changes if change.rule == name)
    assert first.keeps == RULES[name].keeps


@each_rule
def test_a_rule_that_does_not_fire_says_why(name):
    plan = plan_conversion(CASES[name].skips(), **CASES[name].options)
    assert name not in {change.rule for change in plan.changes}
    reasons = [s.reason for skips in plan.skips.values() for s in skips if s.rule == name]
    assert any(CASES[name].reason in reason for reason in reasons), reasons


@each_rule
@pytest.mark.parametrize("which", ["fires", "skips"])
def test_the_graph_is_left_as_it_was(name, which):
    case = CASES[name]
    graph = read(getattr(case, which)())
    chosen = {"pooling": "exact", "head": "dense", **case.options}
    before = snapshot(graph)
    plan = rewrite(graph, rules.rules_for(graph, **chosen))
    assert plan.before is graph
    assert snapshot(graph) == before


@each_rule
def test_a_rule_keeps_what_it_says(name):
    case = CASES[name]
    model = case.fires()
    config, weights = model.get_config(), model.get_weights()
    converted = allconv.convert(model, **case.options)
    assert converted.output_shape == model.output_shape
    if RULES[name].keeps == "function":
        assert_agree(model, converted)
    (values,) = outputs(converted, random_images(model))
    assert values.shape[1:] == model.output_shape[1:]
    assert model.get_config() == config
    assert all(map(np.array_equal, model.get_weights(), weights))


@each_rule
@pytest.mark.parametrize("which", ["fires", "skips"])
def test_the_rules_change_nothing_the_second_time(name, which):
    case = CASES[name]
    converted = allconv.convert(getattr(case, which)(), strict=False, **case.options)
    assert plan_conversion(converted, **case.options).changes == ()


def test_an_unknown_head_is_an_error_that_lists_the_heads():
    with pytest.raises(OptionError) as error:
        plan_conversion(CASES["flatten_dense_to_conv"].fires(), head="conv")
    expected = "unknown head 'conv'; choose one of 'dense', 'classifier', 'keep'"
    assert str(error.value) == expected


def test_a_layer_that_a_rule_makes_wrongly_names_the_rule():
    @rule(layer="MaxPooling2D", keeps="function")
    def pool_to_nonsense(match):
        """MaxPooling2D  ->  nonsense."""
        return match.layer("Conv2D", filters=2, kernel_size="3x3")(match.before(match.node))

    with pytest.raises(RuleError) as error:
        plan_conversion(CASES["max_pool_to_relu"].fires(), rules=[pool_to_nonsense])
    assert str(error.value).startswith("rule 'pool_to_nonsense' makes a wrong layer: layer '")
    assert "its kernel_size is '3x3'; expected a whole number >= 1, or 2 of" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"layer": "ReLU", "keeps": "functoin"},
            "rule: keeps is 'functoin'; expected 'function', ",
        ),
        ({"layer": keras.layers.ReLU, "keeps": "shape"}, "expected class names, such as 'MaxPoo"),
        ({"layer": (), "keeps": "shape"}, "rule: layer is (); expected class names"),
    ],
)
def test_a_rule_with_a_wrong_setting_is_refused_at_once(settings, message):
    with pytest.raises(OptionError) as error:
        rule(**settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([len], "rules holds <built-in function len>; a rule is a function with @rule(...)"),
        (len, "rules is <built-in function len>; expected a list of rules"),
    ],
)
def test_what_is_no_rule_is_refused(rules, message):
    with pytest.raises(OptionError) as error:
        plan_conversion(CASES["max_pool_to_relu"].fires(), rules=rules)
    assert message in str(error.value)


def test_a_layer_that_a_rule_makes_has_all_settings():
    @rule(layer="MaxPooling2D", keeps="axes")
    def pool_to_conv(match):
        """MaxPooling2D  ->  a convolution of 3x3."""
        return match.layer("Conv2D", filters=2, kernel_size=3)(match.before(match.node))

    plan = plan_conversion(CASES["max_pool_to_relu"].fires(), rules=[pool_to_conv])
    (conv,) = (node for node in plan.after.nodes if node.spec.part_of)
    assert conv.config["kernel_size"] == [3, 3]
    assert conv.config["strides"] == [1, 1]
    assert (conv.config["padding"], conv.config["activation"]) == ("valid", "linear")
