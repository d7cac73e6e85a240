"""The segment map: the contract's 125 codes, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics.segments import CODES, DEFAULT_MAP, load_segments
from errors import SettingsError


def test_every_code_has_the_contracts_segment() -> None:
    named = dict(zip(CODES, load_segments(None), strict=True))
    assert len(named) == 125
    assert (named["555"], named["512"], named["111"], named["443"]) == (
        "Champions",
        "New Customers",
        "Lost",
        "Need Attention",
    )
    assert sorted(named.values()).count("At Risk") == 22


def test_a_file_of_ones_own_replaces_the_map(tmp_path: Path) -> None:
    codes = " ".join(code for code in CODES if code != "555")
    path = tmp_path / "map.toml"
    path.write_text(f'[segments]\nStars = ["555"]\nRest = "{codes}"\n')
    assert set(load_segments(path)) == {"Stars", "Rest"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("545 544", "544"), "misses 545"),
        (("545 544", "545 544 111"), "repeats 111"),
        (("545 544", "545 544 666"), "unknown codes 666"),
        (("[segments]", "[other]"), "no [segments] table"),
        (("[segments]", "[segments"), "can't be read as TOML"),
    ],
)
def test_a_map_that_is_not_whole_is_refused_by_name(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(DEFAULT_MAP.read_text().replace(*change))
    with pytest.raises(SettingsError) as refused:
        load_segments(path)
    assert said in str(refused.value)
