"""Rules that other packages bring, found by the entry points of the group `allconv.rules`.

A package names them in its `pyproject.toml`:

    [project.entry-points."allconv.rules"]
    my_package = "my_package.rules:RULES"

The name on the left is free; on the right is a rule, or a list of rules, in a module. They are
tried after the user's own (`convert(rules=[...])`) and before allconv's.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from allconv.errors import RuleError
from allconv.rule import Rule

GROUP = "allconv.rules"


def installed_rules() -> tuple[Rule, ...]:
    """Load the rules of installed packages, in the order of their entry points' names.

    Raises:
        RuleError: An entry point cannot be loaded, or is no rule.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return tuple(rule for point in dict.fromkeys(points) for rule in _rules(point))


def _rules(point: EntryPoint) -> list[Rule]:
    try:
        loaded = point.load()
    except Exception as error:  # whatever the package's own code raises
        reason = f"cannot be loaded ({type(error).__name__}: {error})"
        raise RuleError(_message(point, reason)) from error
    rules = list(loaded) if isinstance(loaded, (list, tuple)) else [loaded]
    strange = next((rule for rule in rules if not isinstance(rule, Rule)), None)
    if strange is not None:
        raise RuleError(_message(point, f"holds {strange!r}, which is no rule"))
    return rules


def _message(point: EntryPoint, found: str) -> str:
    package = point.dist.name if point.dist else "an installed package"
    return (
        f"entry point '{point.name}' of {package} ({point.value}) {found}; expected a rule or a "
        "list of rules, made with allconv.rule.rule; mend or uninstall the package"
    )
