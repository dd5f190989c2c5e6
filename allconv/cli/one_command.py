"""What all commands have in common: how options are read, and an error is told in JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from allconv.cli.messages import message_of, show


class OneCommand(click.Command):
    """A command that takes each option with a value once, but for those made to be repeated.

    Args:
        instead: What does what options are looked for that there are not: `{"--html": "-o ..."}`.
        settings: As of `click.Command`.
    """

    def __init__(self, *, instead: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.instead = instead or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words after the command.

        Raises:
            UsageError: An option is given twice: click would drop the first without a word.
        """
        try:
            if not ctx.resilient_parsing:  # a shell that completes words asks only what may follow
                self._refuse_repeated(ctx, args)
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in self.instead:
                raise
            way = self.instead[error.option_name]
            words = f"No such option '{error.option_name}'. Did you mean '{way}'?"
            raise click.UsageError(words, ctx) from None

    def _refuse_repeated(self, ctx: click.Context, args: list[str]) -> None:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, count in Counter(given).items():
            if count > 1 and _takes_one_value(option):
                raise click.UsageError(
                    f"{option.opts[-1]} is given {count} times; give it once", ctx
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with --json, an error is told on stdout, too."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.params.get("as_json"):
                self._tell_in_json(ctx.params, message_of(error, ctx.info_name))
            raise

    def _tell_in_json(self, given: Mapping[str, Any], message: str) -> None:
        """Print an object for each FILE, which says of what it is; of several, a list."""
        names = [str(each.name) for each in self.params if isinstance(each, click.Argument)]
        if names == ["files"]:
            told = [{"file": str(file), "error": message} for file in given["files"]]
            show(json.dumps(told if len(told) > 1 else told[0], indent=2))
        else:
            files = {name: str(given[name]) for name in names}
            show(json.dumps({**files, "error": message}, indent=2))


def _takes_one_value(option: Any) -> bool:
    return isinstance(option, click.Option) and not option.multiple and not option.is_flag
