"""The optional libraries that fit models."""

from __future__ import annotations

from importlib.util import find_spec

from errors import SmartCRMError

LIBRARIES = {"scipy": "SciPy", "sklearn": "scikit-learn"}


def missing_libraries() -> list[str]:
    """The names of those that are not installed."""
    return [name for module, name in LIBRARIES.items() if find_spec(module) is None]


def require_libraries() -> None:
    """Check that models can be fitted here.

    Raises
    ------
    SmartCRMError
        With the code `libraries_missing`, when a library is not installed.
    """
    missing = missing_libraries()
    if missing:
        raise SmartCRMError(
            f"{' and '.join(missing)} can't be imported, and models are fitted with it. Install"
            f" {' and '.join(missing)}, or leave predictions and clusters out of KINDS.",
            code="libraries_missing",
        )
