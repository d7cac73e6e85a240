"""`SMARTCRM_HOME`: checks of its owner and mode, and the generated secrets in it."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from errors import SettingsError

DEFAULT = ".smartcrm"
GENERATED = ("WEBHOOK_SECRETS", "API_TOKENS", "FLOWER_PASSWORD")


def home_from(env: Mapping[str, str]) -> Path:
    """`SMARTCRM_HOME` as an absolute path; it need not exist yet."""
    return Path(env.get("SMARTCRM_HOME") or DEFAULT).expanduser().absolute()


def require_own(home: Path) -> None:
    """Refuse a home that another user owns or may write into: programs are run from it.

    Raises
    ------
    SettingsError
        Saying how to fix it.
    """
    _refuse_strangers(home, 0o022, "chmod go-w")


def kept_secrets(home: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The generated secrets of this home, created on first use; empty if the environment sets all of them.

    Raises
    ------
    SettingsError
        When they can't be created or read, other users may read them, or one is missing.
    """
    if all(env.get(name, "").strip() for name in GENERATED):
        return dict.fromkeys(GENERATED, "")
    require_own(home)
    path = home / "secrets.json"
    try:
        if not path.exists():
            _write(path)
        _refuse_strangers(path, 0o077, "chmod 600")
        kept = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"SMARTCRM_HOME: the secrets in {path} can't be read or created: {error}.") from None
    wrong = [name for name in GENERATED if not isinstance(kept, dict) or not _is_secret(kept.get(name))]
    if wrong:
        raise SettingsError(
            f"SMARTCRM_HOME: {path} holds no {' and no '.join(wrong)}; restore the file,"
            " or remove it, and new secrets are generated."
        )
    return {name: kept[name] for name in GENERATED}


def _is_secret(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _refuse_strangers(path: Path, forbidden: int, remedy: str) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise SettingsError(f"SMARTCRM_HOME: {path} can't be accessed: {error.strerror}.") from None
    if found.st_uid != os.geteuid():
        raise SettingsError(
            f"SMARTCRM_HOME: {path} belongs to user {found.st_uid}, and this program runs as user {os.geteuid()};"
            " set it to a folder that this user owns."
        )
    if found.st_mode & forbidden:
        raise SettingsError(f"SMARTCRM_HOME: {path} is open to other users; close it with {remedy} {path}.")


def _write(path: Path) -> None:
    fresh = {
        "WEBHOOK_SECRETS": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "API_TOKENS": secrets.token_urlsafe(32),
        "FLOWER_PASSWORD": secrets.token_urlsafe(24),
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".secrets.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(fresh, indent=1))
    try:
        path.hardlink_to(draft)  # atomic: of several processes that start together the first one wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()
