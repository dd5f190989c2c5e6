"""The mutation fuzzer: damaged model files end in a report or an `AllconvError`, and soon.

    python -m tests.mutations --cases 20000 --seed 0 --workers 2

Each case is tried in a child process that may take two seconds and 500 MB more than it began with.
A case is made of its number and the seed alone, so any that fails can be had again by `--only`; its
file is kept, too. With `--convert` those files that would convert are converted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import allconv
from allconv.errors import AllconvError
from tests.helpers.damaged_files import mutate

ROOT = Path(__file__).parents[1]
BATCH = 25
MEMORY = 500 * 2**20
SECONDS = 2
PATIENCE = 20
"""Times as long as a case may compute it may take, on a machine that does other things."""
SUFFIXES = {".keras", ".h5", ".hdf5"}
LARGEST_SEED = 2**20


@dataclass(frozen=True)
class Fuzz:
    """What is tried.

    Attributes:
        seeds: The files that are damaged.
        seed: Of the random numbers.
        convert: Whether files are converted, too.
        keep: A folder for the files on which something failed.
    """

    seeds: tuple[Path, ...]
    seed: int
    convert: bool
    keep: Path

    def make(self, number: int, path: Path) -> str:
        """Write the file of a case; what was done to it, in words."""
        rng = random.Random(f"{self.seed}-{number}")
        return mutate(rng.choice(self.seeds), list(self.seeds), path, rng)


@dataclass
class Tally:
    """How the cases ended."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)

    def __str__(self) -> str:
        width = max(map(len, self.outcomes), default=0)
        lines = [f"{name:{width}}  {count:>7,}" for name, count in self.outcomes.most_common()]
        seconds, number = self.slowest
        lines += [f"{'':{width}}  {self.outcomes.total():>7,}", ""]
        return "\n".join([*lines, f"slowest: case {number}, {seconds:.2f} s", *self.failures])


def outcome_of(path: Path, number: int, convert: bool = False) -> str:
    """What becomes of a file: an `AllconvError`, or a result; anything else is raised."""
    first = ""
    for act in actions(path, number, convert):
        try:
            act()
        except AllconvError as error:
            assert str(error)
            first = first or type(error).__name__
    return first or "result"


def actions(path: Path, number: int, convert: bool) -> Iterator[Callable[[], Any]]:
    """What is done with a file: a report and a check with every one, something else with some."""
    if convert:
        yield lambda: allconv.convert(path, strict=False)
        return
    yield lambda: shown(allconv.report(path))
    yield lambda: str(allconv.check(path))
    others: Sequence[Callable[[], Any]] = (
        lambda: str(allconv.geometry(path)),
        lambda: shown(allconv.report(path, input_size="any", fold_batchnorm=True)),
        lambda: shown(allconv.report(path, pooling="conv", head="classifier")),
        lambda: shown(allconv.report(path, pooling="stride", strict=False)),
        lambda: allconv.report(path).to_html(),
    )
    yield others[number % len(others)]


def shown(report: allconv.Report) -> tuple[str, ...]:
    return str(report), report.to_markdown(), json.dumps(report.to_dict())


def run(fuzz: Fuzz, numbers: Sequence[int]) -> Tally:
    """Try cases, each batch in a child, until all are tried; a child that dies is replaced."""
    tally, left = Tally(), list(numbers)
    while left:
        tried = _run_batch(fuzz, left[:BATCH], tally)
        left = left[tried:]
    return tally


def _run_batch(fuzz: Fuzz, numbers: Sequence[int], tally: Tally) -> int:
    """Try a batch in a child, up to the first failure; how many cases were tried."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _be_child(fuzz, numbers, writing)
    os.close(writing)
    ended = 0
    with os.fdopen(reading) as lines:
        while select.select([lines], [], [], PATIENCE * SECONDS)[0]:
            line = lines.readline()
            if not line.endswith("\n"):
                break
            seconds, outcome = line.rstrip("\n").split(" ", 1)
            tally.outcomes[outcome] += 1
            tally.slowest = max(tally.slowest, (float(seconds), numbers[ended]))
            ended += 1
            if outcome == "FAILED":
                tally.failures.append(_kept(fuzz, numbers[ended - 1], "an exception"))
        else:
            os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if ended < len(numbers):
        word = "no end" if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (9, 27) else "a crash"
        tally.outcomes["FAILED"] += 1
        tally.failures.append(_kept(fuzz, numbers[ended], f"{word} (status {status})"))
        ended += 1
    return ended


def _be_child(fuzz: Fuzz, numbers: Sequence[int], writing: int) -> None:
    """Try cases and tell how each ended; never returns."""
    seconds = SECONDS * (10 if fuzz.convert else 1)
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            path = Path(folder) / "case"
            fuzz.make(number, path)
            start = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, seconds)  # ends the process, wherever it is
            outcome = _outcome_in_bounds(path, number, fuzz.convert)
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(writing, f"{time.process_time() - start:.2f} {outcome}\n".encode())
            path.unlink(missing_ok=True)
    os._exit(0)


def _outcome_in_bounds(path: Path, number: int, convert: bool) -> str:
    begun = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (begun + MEMORY * (6 if convert else 1), limits[1]))
    try:
        return outcome_of(path, number, convert)
    except BaseException:
        traceback.print_exc()
        return "FAILED"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _kept(fuzz: Fuzz, number: int, word: str) -> str:
    """Keep the file of a case that failed; how to try it again."""
    fuzz.keep.mkdir(exist_ok=True, parents=True)
    path = fuzz.keep / f"{fuzz.seed}-{number}"
    done = fuzz.make(number, path)
    convert = " --convert" if fuzz.convert else ""
    return (
        f"case {number}: {word}: {done}\n    its file: {path}\n"
        f"    again: python -m tests.mutations --seed {fuzz.seed} --only {number}{convert}"
    )


def seeds_in(folder: Path) -> list[Path]:
    """The small model files of a folder."""
    found = (path for path in folder.iterdir() if path.suffix in SUFFIXES)
    return sorted(path for path in found if path.stat().st_size < LARGEST_SEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", type=int, help="Try this case alone.")
    parser.add_argument("--convert", action="store_true", help="Convert, too.")
    parser.add_argument("--corpus", type=Path, help="More files to damage.")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "mutations")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.helpers.small_model_files", folder]
        subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
        seeds = seeds_in(Path(folder)) + (seeds_in(options.corpus) if options.corpus else [])
        fuzz = Fuzz(tuple(seeds), options.seed, options.convert, options.keep)
        numbers = range(options.cases) if options.only is None else [options.only]
        tally = _run_all(fuzz, numbers, options.workers)
    print(tally)
    sys.exit(1 if tally.failures else 0)


def _run_all(fuzz: Fuzz, numbers: Sequence[int], workers: int) -> Tally:
    if fuzz.convert:
        import keras  # noqa: F401 -- once, here, and not in every child

    tally = Tally()
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        shares = [numbers[start::workers] for start in range(workers)]
        for part in pool.map(run, [fuzz] * workers, shares):
            tally.add(part)
    return tally


if __name__ == "__main__":
    main()
