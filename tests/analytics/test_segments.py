"""The segment map: the contract's 125 codes, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from analytics.segments import CODES, TEMPLATES, load_map, read_map, template
from errors import SettingsError


def test_every_code_has_the_contracts_segment() -> None:
    named = dict(zip(CODES, load_map(None).segments, strict=True))
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
    assert set(load_map(path).segments) == {"Stars", "Rest"}


ALL_CODES = f'[segments]\nEverybody = "{" ".join(CODES)}"\n'


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("545 544", "544"), "line 3: segments misses 545."),
        (("545 544", "545 544 111"), "line 14: segments.Lost repeats 111."),
        (("545 544", "545 544 666 667"), "line 4: segments.Champions has unknown codes 666 667."),
        (("[segments]", "[other]"), "line 3: other is no table of a segment map"),
        (("[segments]", "[segments"), "can't be read as TOML: "),
    ],
)
def test_a_map_that_is_not_whole_is_refused_by_name(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    built_in = template("quintiles")
    assert built_in is not None
    path = tmp_path / "map.toml"
    path.write_text(built_in.read_text().replace(*change))
    with pytest.raises(SettingsError) as refused:
        load_map(path)
    assert str(path) in str(refused.value) and said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[cut_points]\nfrequency = [0, 1, 3]",
            "line 2: cut_points.frequency has to be four rising numbers, not [0",
        ),
        (
            "[cut_points]\n\nmonetary = [1, 1.5, 1.50, 2]",
            "line 3: cut_points.monetary has to be four rising",
        ),
        ("[cut_points]\nrecency_days = [1, 2, nan, 3]", "four rising numbers, not [1, 2, NaN, 3]"),
        ("[cut_points]\nrecency_days = [1, 2, true, 3]", "four rising numbers, not"),
        ("[cut_points]\nmonetary = [1, 2, 3, 1e12]", "has to stay below 1,000,000,000,000"),
        ("[cut_points]\nmonetary = [0.0000001, 2, 3, 4]", "at most 6 decimals"),
        ("[cut_points]\nvisits = [0, 1, 2, 3]", "line 2: cut_points.visits is not known; there is recency_days and"),
        ('[monetary]\nmeasure = "median"', "line 2: monetary.measure has to be"),
        ("[exclude]\nmobile_ids = [447700900123]", "line 2: exclude.mobile_ids has to be a list of ids in quotes"),
        ('[exclude]\nmobile_ids = [""]', "line 2: exclude.mobile_ids"),
        ("exclude = 1", "line 1: exclude has to be a table"),
        ("[segments]\nStars = 555", "line 2: segments.Stars has to be a list of codes"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_line_key_and_reason(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "map.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_map(path)
    assert said in str(refused.value)


def test_every_measure_has_quintiles_unless_the_map_has_cut_points(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(
        "[cut_points]\nfrequency = [0, 1, 3, 7]\nmonetary = [0.1, 19.99, 20, 1e3]\n"
        '[exclude]\nmobile_ids = ["b", "a", "b"]\n'
    )
    found = load_map(path)
    assert found.own == {"frequency": [0, 5, 15, 35], "cents": [50, 9995, 10_000, 500_000]}
    assert found.measure == "cents" and found.excluded == ("a", "b")
    assert found.segments == load_map(None).segments
    averages = read_map({"monetary": {"measure": "average"}, "cut_points": {"monetary": [1, 2, 3, 4.0001]}})
    assert averages.own == {"average": [500, 1000, 1500, "40001/20"]}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_a_map(name: str) -> None:
    assert len(load_map(template(name)).segments) == 125


@pytest.mark.parametrize("name", ["visits", "young"])
def test_who_came_once_is_neither_loyal_nor_at_risk_nor_lost(name: str) -> None:
    found = load_map(template(name))
    once = {segment for code, segment in zip(CODES, found.segments, strict=True) if code[1] == "2"}
    assert found.own["frequency"][:2] == [0, 5]
    assert not once & {"Champions", "Loyal Customers", "Potential Loyalists", "At Risk", "Cannot Lose Them"}
    assert ("Lost" in found.segments) == (name == "visits")


def test_one_dear_evening_makes_nobody_whom_the_house_cannot_lose() -> None:
    found = load_map(template("ticket"))
    rare = {segment for code, segment in zip(CODES, found.segments, strict=True) if code[1] == "1"}
    assert found.measure == "average" and "Cannot Lose Them" not in rare
