"""What `allconv report FILE` costs as a whole process, against Keras' own summary of the file.

For VGG16 (few layers, 553 MB) and ResNet50 (many layers, 103 MB), two programs take turns on one
file, which lies in the system's cache: the command line, and one that calls
`keras.saving.load_model(file, compile=False).summary()`. Time is from start to end of the process,
memory its largest resident set.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import RESULTS, machine, paired_times, quartiles, table, write_json

# Nothing here imports Keras: what a process has taken before it starts another counts as the peak
# of that one, too (`exec` keeps the larger of the two: ru_maxrss in getrusage(2)).

SUMMARY = "import keras, sys; keras.saving.load_model(sys.argv[1], compile=False).summary()"
MAKE = "import keras, sys; getattr(keras.applications, sys.argv[1])(weights=None).save(sys.argv[2])"

SPEED_TARGETS = {"VGG16": 20, "ResNet50": 15}
"""Times faster than the summary, for each network."""
SECONDS_TARGET = 0.40
BYTES_TARGET = 80e6


def main() -> None:
    """Measure, print a table, write the numbers."""
    options = parse_arguments()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, target in SPEED_TARGETS.items():
            file = Path(options.folder or folder, f"{name.lower()}.h5")
            if not file.exists():
                run([sys.executable, "-c", MAKE, name, str(file)])
            results.append(measure(file, options.rounds, target))
            print(describe(results[-1]), flush=True)
    write_json(options.json, {"machine": machine(), "networks": results})


def parse_arguments() -> argparse.Namespace:
    """Read the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where vgg16.h5 and resnet50.h5 lie, or go")
    parser.add_argument("--json", type=Path, default=RESULTS / "report.json", metavar="OUT")
    return parser.parse_args()


def measure(file: Path, rounds: int, target: int) -> dict[str, Any]:
    """Measure seconds and bytes of both programs on `file`, and how much faster the report is."""
    peaks: dict[str, list[int]] = {"report": [], "summary": []}
    commands = {
        "report": [sys.executable, "-m", "allconv", "report", str(file)],
        "summary": [sys.executable, "-c", SUMMARY, str(file)],
    }

    def action(name: str) -> Callable[[], object]:
        return lambda: peaks[name].append(run(commands[name]))

    seconds = paired_times({name: action(name) for name in commands}, rounds)
    return {
        "model": file.name,
        "file_bytes": file.stat().st_size,
        "rounds": rounds,
        "seconds": {name: quartiles(times) for name, times in seconds.items()},
        "peak_bytes": {name: quartiles(np.array(of[1:])) for name, of in peaks.items()},
        "speed": quartiles(seconds["summary"] / seconds["report"]),
        "targets": {"seconds": SECONDS_TARGET, "bytes": BYTES_TARGET, "speed": target},
    }


def run(command: list[str]) -> int:
    """Run a program to its end, and say how many bytes were resident at its peak.

    Raises:
        CalledProcessError: The program failed; what it wrote to stderr is shown.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=log, env=environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace"))
            raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # Linux counts in KiB


def environment() -> dict[str, str]:
    """Return a user's variables: Python keeps what it has compiled, TensorFlow does not log."""
    variables = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def describe(result: Mapping[str, Any]) -> str:
    """Write the result as a table, with the targets below."""
    rows = (
        (
            name,
            f"{result['seconds'][name]['median']:.2f}",
            spread(result["seconds"][name]),
            f"{result['peak_bytes'][name]['median'] / 1e6:,.0f}",
        )
        for name in result["seconds"]
    )
    title = f"{result['model']}, {result['file_bytes'] / 1e6:,.0f} MB"
    speed = result["speed"]
    return "\n".join(
        (
            table((title, "seconds", "quartiles", "peak MB"), rows),
            "",
            f"the report is {speed['median']:.1f} times as fast as the summary "
            f"(quartiles {spread(speed)}, {result['rounds']} rounds)",
            f"targets: {result['targets']['speed']} times or more, {SECONDS_TARGET:.2f} s, "
            f"{BYTES_TARGET / 1e6:.0f} MB or less\n",
        )
    )


def spread(values: Mapping[str, float]) -> str:
    """Return the first and third quartile."""
    return f"{values['first_quartile']:.2f}-{values['third_quartile']:.2f}"


if __name__ == "__main__":
    main()
