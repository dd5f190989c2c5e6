"""How max pools are converted: the strategies behind the names "exact", "conv" and "stride"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from allconv.errors import OptionError


@dataclass(frozen=True)
class ExactPool:
    """Each max pool becomes depthwise convolutions and ReLUs that compute the same numbers."""


@dataclass(frozen=True)
class ConvPool:
    """Each max pool becomes one convolution with the pool's stride, to be trained.

    With `padding="keep"` the maps keep their sizes, and the convolution starts as the mean of the
    pool's window. `ConvPool(kernel_size=3, padding="valid")` is the textbook form: maps shrink
    faster, and layers whose weights no longer fit start fresh.

    The idea is All-CNN's (Springenberg et al. 2014, arXiv 1412.6806).

    Attributes:
        kernel_size: Cells along each axis, by default the pool's own window.
        padding: `"keep"`, `"valid"` or `"same"`.
        activation: The activation of the convolution. `"relu"` becomes linear if the pool's input
            may be negative, since a mean of such values may be negative, too.
        filters: Number of filters, by default as many as the pool has channels; with another
            number, the weights start fresh.
    """

    kernel_size: int | tuple[int, ...] | None = None
    padding: Literal["keep", "valid", "same"] = "keep"
    activation: str = "relu"
    filters: int | None = None

    def __post_init__(self) -> None:
        sizes = self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size,)
        if self.kernel_size is not None and not all(map(is_plain_count, sizes)):
            raise OptionError(f"ConvPool: kernel_size is a number >= 1, got {self.kernel_size!r}")
        if self.padding not in ("keep", "valid", "same"):
            raise OptionError(
                f"ConvPool: padding is 'keep', 'valid' or 'same', got {self.padding!r}"
            )
        if self.filters is not None and not is_plain_count(self.filters):
            raise OptionError(f"ConvPool: filters is a number >= 1, got {self.filters!r}")


def is_plain_count(value: object, least: int = 1) -> bool:
    """Tell whether this is one of Python's whole numbers, as configurations hold them."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True)
class StridePool:
    """Each max pool is dropped, and its stride moves into the convolution before it.

    The convolution computes only the centre of each window (Strided-CNN, Springenberg et al. 2014,
    arXiv 1412.6806). The result needs fitting or training.
    """


@dataclass(frozen=True)
class KeepPool:
    """Pools stay: the way to a *fully* convolutional network, not an *all*-convolutional one.

    It may stand for all pools, average and global ones, too, or for some of them by name; `"*"` are
    those not named. A global pool slides if the network is to take images of other sizes.
    """


Strategy = ExactPool | ConvPool | StridePool | KeepPool
PoolingName = Literal["exact", "conv", "stride", "keep"]
Pooling = PoolingName | Strategy | Mapping[str, "PoolingName | Strategy"]

NAMES: dict[str, Strategy] = {
    "exact": ExactPool(),
    "conv": ConvPool(),
    "stride": StridePool(),
    "keep": KeepPool(),
}


def strategy(choice: str | Strategy) -> Strategy:
    """Return the strategy that a name stands for.

    Raises:
        OptionError: There is none of that name.
    """
    if isinstance(choice, (ExactPool, ConvPool, StridePool, KeepPool)):
        return choice
    if choice not in NAMES:
        raise OptionError(
            f"unknown pooling {choice!r}; choose one of {', '.join(map(repr, NAMES))}, or an "
            "ExactPool(), ConvPool(...) or StridePool()"
        )
    return NAMES[choice]


def keeps_all_others(pooling: Pooling) -> bool:
    """Tell whether pools that are no max pools, which have no strategies by name, are to stay."""
    others = pooling.get("*", "exact") if isinstance(pooling, Mapping) else pooling
    return isinstance(strategy(others), KeepPool)


def strategy_of_each(pooling: Pooling, pools: list[str]) -> dict[str, Strategy]:
    """Choose the strategy of each of a model's max pools.

    Args:
        pooling: One choice for all, or choices by layer name; `"*"` stands for the pools not named,
            which are exact otherwise.
        pools: Names of the model's max pools.

    Raises:
        OptionError: A name is not that of a max pool of the model.
    """
    if not isinstance(pooling, Mapping):
        return dict.fromkeys(pools, strategy(pooling))
    unknown = [name for name in pooling if name not in ("*", *pools)]
    if unknown:
        raise OptionError(
            f"pooling names {', '.join(map(repr, unknown))}, which is no max pool of the model; "
            f"its max pools are {', '.join(map(repr, pools)) or 'none'}"
        )
    others = pooling.get("*", "exact")
    return {name: strategy(pooling.get(name, others)) for name in pools}
