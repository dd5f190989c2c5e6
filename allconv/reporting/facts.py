"""What a report knows of a planned conversion; how it looks is said above."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from allconv.building.untrusted import not_made
from allconv.geometry import graph_geometry
from allconv.kernels.fixed import is_fixed, needs_set_weights
from allconv.obstacles import kept_pools
from allconv.obstacles.found import Obstacle
from allconv.read.compile_words import why_not_compiled
from allconv.reporting.rows import Row
from allconv.reporting.totals import Totals
from allconv.resize import InputSize
from allconv.rewrite import Change, Plan, Skipped
from allconv.sizes.map_geometry import Geometry
from allconv.verify import Verification


@dataclass(frozen=True)
class Facts:
    """What a report knows of a planned conversion; `Report` says what each part is."""

    plan: Plan = field(repr=False)
    own_plan: Plan = field(repr=False)
    strict: bool
    rows: tuple[Row, ...] = field(repr=False)
    totals: Totals
    obstacles: tuple[Obstacle, ...]
    input_size: InputSize | None = None
    geometry: Geometry | None = None
    verification: Verification | None = None

    @property
    def changes(self) -> tuple[Change, ...]:
        """The rules that are applied, in order."""
        return self.plan.changes

    @cached_property
    def skips(self) -> tuple[Skipped, ...]:
        """The rules that were tried and do not apply, each with its reason, in order."""
        found = [skip for skips in self.plan.skips.values() for skip in skips]
        return tuple(dict.fromkeys(skip for skip in found if not skip.absent))

    @cached_property
    def own_geometry(self) -> Geometry | None:
        """Where the cells of the map at the network's own stride look, at the model's own size."""
        if self.geometry is None or self.plan.output_stride is None:
            return self.geometry
        return graph_geometry(self.own_plan.after)

    @property
    def lossless(self) -> bool:
        """Whether the result computes the same numbers, up to rounding."""
        return self.plan.lossless

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """The layers of the result with fixed kernels, which training is to leave as they are."""
        return tuple(spec.name for spec in self.plan.after.specs() if is_fixed(spec))

    @cached_property
    def needs_set_weights(self) -> tuple[str, ...]:
        """Those whose kernels are not in their configuration: a clone needs `set_weights`."""
        return tuple(spec.name for spec in self.plan.after.specs() if needs_set_weights(spec))

    @cached_property
    def not_made(self) -> tuple[str, ...]:
        """What `convert` does not make from the file that the model comes from, in words."""
        return not_made(self.plan.after)

    @cached_property
    def kept_pools(self) -> tuple[str, ...]:
        """The pools that stay, as the user chose."""
        return kept_pools(self.plan)

    @cached_property
    def not_compiled(self) -> str:
        """Why the result is not compiled as the file says of the model; "" where it is."""
        if self.input_size is not None:
            return ""
        return why_not_compiled(self.plan.before.compile_settings)

    @cached_property
    def blocking(self) -> frozenset[str]:
        """Names of all layers that stay because of obstacles."""
        return frozenset(name for obstacle in self.obstacles for name in obstacle.layers)

    @property
    def refused(self) -> bool:
        """Whether `convert` would refuse the model."""
        return bool(self.not_made) or (self.strict and bool(self.obstacles))
