"""Rules that come with other packages, by the entry-point group `allconv.rules`."""

from __future__ import annotations

import keras
import pytest
from keras import layers

import allconv
from allconv.errors import RuleError
from allconv.rules.installed import installed_rules

RULES = """
from allconv.rule import rule


@rule(layer="ReLU", keeps="function")
def relu_to_maximum(match):
    \"\"\"ReLU  ->  an Activation with the same name.\"\"\"
    return match.layer("Activation", activation="relu")(match.before(match.node))


RULES = [relu_to_maximum]
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of one module, with an entry point, for the time of a test."""

    def install(name, code, value):
        (tmp_path / f"{name}.py").write_text(code)
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[allconv.rules]\n{name} = {value}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def model():
    image = keras.Input((4, 4, 1))
    return keras.Model(image, layers.ReLU(name="relu")(layers.Conv2D(2, 2)(image)))


def test_without_other_packages_there_are_no_rules():
    assert installed_rules() == ()


@pytest.mark.parametrize("value", ["blue_rules:RULES", "blue_rules:relu_to_maximum"])
def test_an_installed_package_s_rules_are_used(install, value):
    assert allconv.report(model()).changes == ()
    install("blue_rules", RULES, value)
    (change,) = allconv.report(model()).changes
    assert (change.rule, change.layer) == ("relu_to_maximum", "relu")


def test_the_user_s_own_rules_come_before_those_of_packages(install):
    install("green_rules", RULES, "green_rules:RULES")
    from allconv.rule import rule

    @rule(layer="ReLU", keeps="function")
    def relu_to_sum(match):
        """ReLU  ->  an Activation, by a rule of the user's."""
        return match.layer("Activation", activation="relu")(match.before(match.node))

    (change,) = allconv.report(model(), rules=[relu_to_sum]).changes
    assert change.rule == "relu_to_sum"


@pytest.mark.parametrize(
    ("name", "code", "value", "found"),
    [
        ("missing_rules", "", "missing_rules:RULES", "cannot be loaded (AttributeError"),
        ("broken_rules", "1 / 0", "broken_rules:RULES", "cannot be loaded (ZeroDivisionError"),
        ("number_rules", "RULES = 3", "number_rules:RULES", "holds 3, which is no rule"),
    ],
)
def test_a_package_whose_rules_are_none_is_named(install, name, code, value, found):
    install(name, code, value)
    with pytest.raises(RuleError) as caught:
        allconv.convert(model())
    message = str(caught.value)
    assert message.startswith(f"entry point '{name}' of {name} ({value}) {found}")
    assert message.endswith("made with allconv.rule.rule; mend or uninstall the package")
