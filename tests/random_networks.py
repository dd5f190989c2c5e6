"""Random networks by the thousand: each is converted and held to the promise, and counted.

    python -m tests.random_networks --examples 10000 --backend torch --seed 0 --workers 2

Torch computes channels-first convolutions on a CPU as they are, where TensorFlow has to compile
each network first. A network that breaks the promise is printed as JSON; `rebuilt` of
`tests.drawn_networks` makes it again from that, weights and all. Exit status 1 says that one did.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

FORMATS = ("channels_last", "channels_first")
SIZE_OF_BATCH = 50
"""Hypothesis varies what it has drawn before; to begin anew now and then gives more variety."""

OPTIONS = {
    "exact": {},
    "fold": {"fold_batchnorm": True},
    "any-size": {"input_size": "any"},
}


@dataclass(frozen=True)
class Batch:
    """Networks of one kind, drawn from one seed."""

    seed: int
    rank: int
    data_format: str
    options: str
    examples: int


@dataclass
class Tally:
    """What became of the networks, by outcome and reason."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    worst: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def examples(self) -> int:
        return sum(self.counts.values())

    def add(self, other: Tally) -> None:
        self.counts += other.counts
        self.worst = max(self.worst, other.worst)
        self.failures += other.failures

    def __str__(self) -> str:
        lines = [f"{count:7}  {' '.join(key)}" for key, count in self.counts.most_common()]
        lines.append(f"largest relative error {self.worst:.1e}")
        return "\n".join(lines)


def tally(batch: Batch) -> Tally:
    """Draw the networks of a batch, and hold each to the promise."""
    import warnings

    import hypothesis
    import keras
    from hypothesis import strategies as st

    from tests.drawn_networks import drawing, drawn_network

    warnings.simplefilter("ignore")
    keras.utils.clear_session()
    result = Tally()

    @hypothesis.seed(batch.seed)
    @hypothesis.settings(drawing(batch.examples), database=None)
    @hypothesis.given(st.data())
    def hold(data: st.DataObject) -> None:
        judge(drawn_network(data.draw, batch.data_format, batch.rank), batch, result)

    hold()
    return result


def judge(model, batch: Batch, result: Tally) -> None:
    """Count one network, and keep what is needed to find out why it fails."""
    from tests.promise import promise

    try:
        outcome = promise(model, **OPTIONS[batch.options])
    except Exception:
        result.counts["FAILED", batch.options] += 1
        result.failures.append(f"{batch}\n{model.to_json()}\n{traceback.format_exc(limit=-4)}")
        return
    result.counts[outcome.word, outcome.reason] += 1
    result.worst = max(result.worst, outcome.error)


def batches(arguments: argparse.Namespace) -> list[Batch]:
    """Batches that together have the examples asked for, kinds taking turns."""
    kinds = itertools.cycle(
        itertools.product(arguments.ranks, arguments.data_formats, arguments.options)
    )
    starts = range(0, arguments.examples, SIZE_OF_BATCH)
    return [
        Batch(seed, *next(kinds), min(SIZE_OF_BATCH, arguments.examples - start))
        for seed, start in enumerate(starts, arguments.seed * 1_000_000)
    ]


def parsed() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="torch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--ranks", type=int, nargs="+", choices=(1, 2, 3), default=(1, 2, 3))
    parser.add_argument("--data-formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=tuple(OPTIONS))
    return parser.parse_args()


def main() -> int:
    arguments, start, total = parsed(), time.time(), Tally()
    # One thread for each worker; the backend is chosen before a worker imports Keras.
    os.environ |= {"KERAS_BACKEND": arguments.backend, "OMP_NUM_THREADS": "1"}
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    # Backends keep something of every network they have seen, so workers are renewed.
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.workers, maxtasksperchild=20) as pool:
        for done in pool.imap_unordered(tally, batches(arguments)):
            total.add(done)
            for failure in done.failures:
                print(failure, flush=True)
            print(f"{total.examples} in {time.time() - start:.0f} s", end="\r", file=sys.stderr)
    print(f"{total.examples} networks on {arguments.backend}, seed {arguments.seed}\n{total}")
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
