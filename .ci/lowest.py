"""Print the oldest versions that pyproject.toml allows, as constraints for pip; for Python 3.11."""

import re
import sys
import tomllib
from pathlib import Path

CHECKERS = {"mypy", "ruff"}
"""They run no code of ours."""

if sys.version_info[:2] != (3, 11):
    sys.exit("the oldest packages are installed on the oldest Python, 3.11")
project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
lists = [project["dependencies"], *project["optional-dependencies"].values()]
oldest = dict(re.match(r"([\w-]+)>=([\d.]+)", item).groups() for items in lists for item in items)
for name, version in sorted(oldest.items()):
    if name not in CHECKERS:
        print(f"{name}=={version}")
