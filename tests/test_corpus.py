"""Real files of strangers: each is reported; what converts computes what its file says.

The files are not part of the repository: ALLCONV_CORPUS=FOLDER names a folder of some.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.corpus import model_files, outcome_of

FOLDER = os.environ.get("ALLCONV_CORPUS", "")
FILES = model_files(Path(FOLDER)) if FOLDER else []


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="ALLCONV_CORPUS names no folder of model files")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_file_is_reported_and_converted_or_refused_by_name(path):
    word, details = outcome_of(path)
    assert word.startswith(("converted", "refused", "weights only")), details
