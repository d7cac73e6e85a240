"""Programs that are not in wheels: a test that needs one is skipped if it is missing, but fails in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def program(*names: str) -> str:
    """The path of the first of these programs that is installed; skips the test where none is.

    `.ci/run` installs them all and sets SMARTCRM_CI, so that a test that needs one can't go missing there.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    absent(f"{' or '.join(names)} is not installed")


def absent(message: str) -> NoReturn:
    """Skip the test because of something missing on this machine; in CI, fail it."""
    if os.environ.get("SMARTCRM_CI"):
        pytest.fail(message)
    pytest.skip(message)
