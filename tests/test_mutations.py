"""A few hundred damaged files; `python -m tests.mutations --cases 20000` tries many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.mutations import Tally

ROOT = Path(__file__).parents[1]
CASES = 150


def fuzzed(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutations", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_damaged_files_end_in_a_result_or_an_error_of_ours_soon_and_in_little_memory(tmp_path):
    done = fuzzed("--cases", str(CASES), "--seed", "1", "--keep", str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    counts = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines()[:-3])
    assert int(counts["result"]) > CASES / 20  # some are still models,
    assert int(counts["FileError"]) > CASES / 20  # some are no whole files,
    assert int(counts["ModelError"]) > CASES / 20  # and some describe none


def test_a_failure_is_told_with_how_to_have_it_again():
    tally = Tally()
    tally.failures.append("case 7: too long")
    assert str(tally).endswith("case 7: too long")
