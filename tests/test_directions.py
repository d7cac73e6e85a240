"""Import directions, checked by import-linter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_imports_run_only_as_the_house_is_drawn() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    found = subprocess.run([linter, "--no-cache"], cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
