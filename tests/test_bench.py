"""The benchmark's implementations give the same results as ours on a few thousand orders; a wrong one is detected."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from bench import data
from bench.equality import WrongResultError, check
from bench.rivals import BY_NAME, RIVALS
from tests.system import make_settings, run_inline

SIZE = 4_000


def test_rivals_agree_with_ours_and_a_wrong_one_fails_loudly(migrated_url: str, tmp_path: Path) -> None:
    data.make(migrated_url, SIZE)
    settings = make_settings(migrated_url, tmp_path, TIMEZONE=data.TIMEZONE)
    for kind in ("rfm", "menu"):
        run = run_inline(settings, kind, as_of=data.AS_OF).run
        assert run.status == "succeeded", run.error
    for rival in RIVALS:
        if rival.installed:
            rival.run(migrated_url)
            assert check(migrated_url, rival) > 100
    with psycopg.connect(migrated_url) as connection:
        connection.execute("UPDATE rival_menu_tuned SET orders = orders + 1 WHERE daytime_id = 4 AND rank = 3")
    with pytest.raises(WrongResultError, match="SQL, hand-tuned differs"):
        check(migrated_url, BY_NAME["menu_tuned"])
