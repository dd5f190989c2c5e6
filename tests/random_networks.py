"""Random networks by the thousand: each is converted and held to the promise, and counted.

    python -m tests.random_networks --examples 10000 --backend torch --seed 0 --workers 2
    python -m tests.random_networks --only 1234567

Each network is drawn from a number of its own; the second line draws one again. What is drawn, and
what is looked at besides the numbers, is in `tests/helpers/network_families.py`. Exit status 1
says that a network broke the promise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from tests.helpers import network_families

FORMATS = ("channels_last", "channels_first")
SEEDS_OF_A_RUN = 1_000_000
SIZE_OF_BATCH = 50


@dataclass
class Tally:
    """What became of the networks, by outcome and reason, and what was looked at how often."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def examples(self) -> int:
        return sum(self.counts.values())

    def add(self, other: Tally) -> None:
        self.counts += other.counts
        self.held += other.held
        self.worst = max(self.worst, other.worst)
        self.failures += other.failures

    def __str__(self) -> str:
        lines = [f"{count:7}  {': '.join(filter(None, key))}" for key, count in self.sorted()]
        with_each = ", ".join(f"{name} {count}" for name, count in self.held.most_common())
        lines += [f"of these with {with_each}", f"largest relative error {self.worst:.1e}"]
        return "\n".join(lines)

    def sorted(self) -> list[tuple[tuple[str, str], int]]:
        return self.counts.most_common()


def tally(seeds: range, **choice: object) -> Tally:
    """Draw the networks of some seeds, and hold each to the promise."""
    import warnings

    import keras

    warnings.simplefilter("ignore")
    keras.utils.clear_session()
    result = Tally()
    for seed in seeds:
        judge(seed, choice, result)
    return result


def judge(seed: int, choice: dict[str, object], result: Tally) -> None:
    """Count one network, and keep what is needed to find out why it fails."""
    from tests.helpers.drawn_cases import drawn_case
    from tests.helpers.laws import hold

    case = drawn_case(seed, **choice)
    try:
        outcome = hold(case)
    except Exception as error:
        result.counts["FAILED", type(error).__name__] += 1
        result.failures.append(f"--only {seed}  {case}\n{traceback.format_exc(limit=-4)}")
        return
    result.counts[outcome.word, outcome.reason] += 1
    result.held.update(case.families)
    result.worst = max(result.worst, outcome.error)


def result_of(future: Future[Tally], seeds: range) -> Tally:
    """The tally of a batch; a failure where its worker was ended, by code in C++ or by the system.

    The batches that were waiting are lost with it, and each says so.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        words = f"networks {seeds.start} to {seeds.stop - 1} were lost: a worker was ended"
        return Tally(failures=[words])


def batches(arguments: argparse.Namespace) -> list[range]:
    """The seeds of the networks asked for."""
    if arguments.only is not None:
        return [range(arguments.only, arguments.only + 1)]
    first = arguments.seed * SEEDS_OF_A_RUN
    seeds = range(first, first + arguments.examples)
    return [seeds[start : start + SIZE_OF_BATCH] for start in range(0, len(seeds), SIZE_OF_BATCH)]


def parsed() -> argparse.Namespace:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one network")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--ranks", type=int, nargs="+", choices=(1, 2, 3), default=(1, 2, 3))
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--without", nargs="+", choices=sorted(network_families.ALL), default=())
    return parser.parse_args()


def main() -> int:
    arguments, start, total = parsed(), time.time(), Tally()
    # One thread for each worker; the backend is chosen before a worker imports Keras.
    os.environ |= {"KERAS_BACKEND": arguments.backend, "OMP_NUM_THREADS": "1"}
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    choice = {"ranks": arguments.ranks, "formats": arguments.formats}
    choice["allowed"] = network_families.ALL - set(arguments.without)
    # Backends keep something of every network they have seen, so workers are renewed.
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(arguments.workers, context, max_tasks_per_child=20)
    work = partial(tally, **choice)
    waiting = {workers.submit(work, seeds): seeds for seeds in batches(arguments)}
    with suppress(KeyboardInterrupt):
        for future in as_completed(waiting):
            done = result_of(future, waiting[future])
            total.add(done)
            for failure in done.failures:
                print(failure, flush=True)
            print(f"{total.examples} in {time.time() - start:.0f} s", end="\r", file=sys.stderr)
    workers.shutdown(cancel_futures=True)
    mode = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "as TensorFlow chooses")
    print(f"{total.examples} networks on {arguments.backend} (oneDNN {mode}), ", end="")
    print(f"seed {arguments.seed}\n{total}")
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
