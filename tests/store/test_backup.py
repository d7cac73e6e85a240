"""A dump taken during runs: restored into an empty database, it serves, and its runs continue."""

from __future__ import annotations

import subprocess
from pathlib import Path

from embedded import postgres
from store import inbox
from store.database import transaction
from store.schema import migrate
from tests.builders import plain_orders
from tests.system import do_part, fill, finish_inline, make_settings, menu_recommendation, rfm_segments, run_inline
from worker import steering


def test_a_restored_dump_has_what_was_published_and_its_runs_go_on(
    migrated_url: str, other_database_url: str, tmp_path: Path
) -> None:
    settings = make_settings(migrated_url, tmp_path, RFM_SHARDS="3")
    fill(migrated_url, plain_orders())
    for kind in ("rfm", "menu"):
        run_inline(settings, kind)
        run_inline(settings, kind, mode="incremental")
    with transaction(migrated_url) as session:
        under_way = inbox.request(session, ["rfm"])[0].run_id
    sent = steering.advance(settings, under_way)
    do_part(settings, under_way, *sent[0])

    dump, programs = tmp_path / "smartcrm.dump", postgres._package() / "pginstall18" / "bin"
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", migrated_url], check=True)
    subprocess.run([programs / "pg_restore", "--exit-on-error", f"--dbname={other_database_url}", dump], check=True)
    migrate(other_database_url)
    assert rfm_segments(other_database_url).equals(rfm_segments(migrated_url))
    assert menu_recommendation(other_database_url).equals(menu_recommendation(migrated_url))

    restored = make_settings(other_database_url, tmp_path, RFM_SHARDS="3")
    for part in sent[1:]:
        do_part(restored, under_way, *part)
    assert finish_inline(restored, under_way).run.status == "succeeded"
    fill(other_database_url, plain_orders(7))
    for kind in ("rfm", "menu"):
        assert run_inline(restored, kind).run.status == "succeeded"
    assert len(rfm_segments(other_database_url)) == 7
