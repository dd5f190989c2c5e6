"""What all commands have in common: how their options are read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click


class OneCommand(click.Command):
    """A command that takes each option with a value once, but for those made to be repeated."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words after the command.

        Raises:
            UsageError: An option is given twice: click would drop the first without a word.
        """
        if not ctx.resilient_parsing:  # a shell that completes words asks only what may follow
            self._refuse_repeated(ctx, args)
        return super().parse_args(ctx, args)

    def _refuse_repeated(self, ctx: click.Context, args: list[str]) -> None:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, count in Counter(given).items():
            if count > 1 and _takes_one_value(option):
                raise click.UsageError(
                    f"{option.opts[-1]} is given {count} times; give it once", ctx
                )


def _takes_one_value(option: Any) -> bool:
    return isinstance(option, click.Option) and not option.multiple and not option.is_flag
