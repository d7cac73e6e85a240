"""Pictures: areas and colours in proportion, and nothing in them that a text could break."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from webhook.pages import charts, lines, pictures
from webhook.pages.treemap import layout

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: Markup) -> ET.Element:
    return ET.fromstring(str(picture).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=125))
def test_a_treemaps_areas_are_in_proportion_and_fill_the_whole_without_overlap(sizes: list[int]) -> None:
    sizes.sort(reverse=True)
    boxes = layout(sizes, 720, 340)
    assert len(boxes) == len(sizes)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(720 * 340 * size / sum(sizes), rel=1e-6)
        assert box.x >= -1e-6 and box.y >= -1e-6 and box.x + box.width <= 720.001 and box.y + box.height <= 340.001
    largest = boxes[:12]
    for place, one in enumerate(largest):
        for other in largest[place + 1 :]:
            across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert across < 1e-6 or down < 1e-6


def test_tiles_are_links_with_hover_texts_the_dearest_one_darkest() -> None:
    tiles = [
        pictures.Tile(f"S{value}", str(value), size=10 * value, value=value, title=f"t{value}", link=f"/?s={value}")
        for value in (1, 2, 3)
    ]
    links = parsed(pictures.treemap_of(tiles, "Segments")).findall(f"{SVG}a")
    assert [(link.get("href"), link.get("class")) for link in links] == [
        ("/?s=3", "c6"),
        ("/?s=2", "c3"),
        ("/?s=1", "c0"),
    ]
    assert [link.findtext(f"{SVG}title") for link in links] == ["t3", "t2", "t1"]
    assert pictures.treemap_of([], "Segments") == ""


def test_a_tiles_name_is_broken_or_left_out_where_it_does_not_fit() -> None:
    sizes = {"Wide enough": 60, "Cannot Lose Them": 12, "Slender": 0.3}
    tiles = [pictures.Tile(name, "9", size=size, value=1, title=name, link="/") for name, size in sizes.items()]
    links = parsed(pictures.treemap_of(tiles, "Segments")).findall(f"{SVG}a")
    texts = [[(text.text, text.get("class")) for text in link.iter(f"{SVG}text")] for link in links]
    assert texts == [
        [("Wide enough", "name"), ("9", "")],
        [("Cannot", "name optional"), ("Lose Them", "name optional"), ("9", "optional")],
        [],
    ]


def test_names_of_others_stay_text() -> None:
    evil = '"><script>alert(1)</script>&'
    tile = pictures.Tile(evil, evil, size=1, value=1, title=evil, link=f"/?s={evil}")
    heat = pictures.heat_map([(evil, [pictures.Cell(evil, 1, evil, evil)])], [evil], evil)
    others = (
        charts.columns([charts.Column(evil, 1, evil, evil, evil)], evil),
        charts.deviations([charts.Deviation(evil, 1, evil, evil)], 1, evil),
        charts.scatter([charts.Point(1, 1, "star", evil, evil, evil)], 1, 1, (evil, evil), evil),
        lines.sparkline([1, 2], evil),
        lines.forecast_bars([lines.Ahead(evil, 1, 0, 2, evil, evil)], evil),
        lines.timeline([lines.Mark(date(2026, 3, 1), 1, evil)], date(2026, 3, 2), (evil, evil), evil),
    )
    for picture in (pictures.treemap_of([tile], evil), heat, pictures.score_strip(3, [evil] * 4, evil), *others):
        assert evil in "".join(parsed(picture).itertext())
        assert "<script" not in picture


def test_a_heat_maps_highest_cell_is_darkest_and_only_an_empty_one_palest() -> None:
    cells = [pictures.Cell(str(value), value, str(value)) for value in (0, 1, 50, 100)]
    squares = parsed(pictures.heat_map([("row", cells)], list("abcd"), "Counts")).findall(f"{SVG}g/{SVG}svg")
    assert [square.get("class") for square in squares] == ["c0", "c1", "c4", "c6"]


def test_a_score_strip_fills_the_one_box_of_the_score() -> None:
    drawn = parsed(pictures.score_strip(4, ["1", "2", "3", "4"], "R"))
    boxes = [box.find(f"{SVG}rect") for box in drawn.findall(f"{SVG}svg")]
    assert [box is not None and box.get("class") for box in boxes] == ["other", "other", "other", "chosen", "other"]
    assert [text.get("x") for text in drawn.findall(f"{SVG}text")] == ["20.000%", "40.000%", "60.000%", "80.000%"]


def test_a_line_breaks_where_a_value_is_not_known_and_marks_the_last_one() -> None:
    drawn = parsed(lines.sparkline([1, 3, None, 2, 2, None], "Orders"))
    points = [line.get("points", "") for line in drawn.iter(f"{SVG}polyline")]
    assert points == ["0.00,28.00 20.00,2.00", "60.00,15.00 80.00,15.00"]
    (mark,) = drawn.iter(f"{SVG}circle")
    assert (mark.get("cx"), mark.get("cy")) == ("80.00%", "50.00%")
    assert lines.sparkline([None, 5], "Orders") == ""


def test_forecast_bars_end_at_the_value_and_their_lines_at_the_range() -> None:
    days = [lines.Ahead("Mon", 5, 0, 10, "5", "t"), lines.Ahead("Tue", 10, 5, 10, "10", "t", known=True)]
    groups = parsed(lines.forecast_bars(days, "Ahead")).findall(f"{SVG}g")
    bars = [group.find(f"{SVG}rect") for group in groups]
    assert [bar is not None and bar.get("height") for bar in bars] == ["37.00%", "74.00%"]
    ranges = [group.find(f"{SVG}line") for group in groups]
    assert [(each.get("y1"), each.get("y2")) for each in ranges if each is not None] == [
        ("86.00%", "12.00%"),
        ("49.00%", "12.00%"),
    ]
    assert [group.get("class") for group in groups] == ["forecast", "known"]


def test_deviations_go_to_both_sides_and_the_largest_fills_its_side() -> None:
    drawn = parsed(
        charts.deviations([charts.Deviation("a", 2, "+2", "t"), charts.Deviation("b", -1, "−1", "t")], 2, "Profile")
    )
    bars = [bar for bar in drawn.iter(f"{SVG}rect")]
    assert [(bar.get("x"), bar.get("width"), bar.get("class")) for bar in bars] == [
        ("70.000%", "29.000%", "more"),
        ("55.500%", "14.500%", "less"),
    ]


def test_names_of_points_that_lie_together_are_left_to_hover_texts() -> None:
    close = [charts.Point(0.1, 5, "star", f"Dish {number}", "t", "/") for number in range(3)]
    far = charts.Point(0.9, 1, "dog", "Far dish", "t", "/")
    drawn = parsed(charts.scatter([*close, far], 0.5, 3, ("Share", "Margin"), "Matrix"))
    assert [text.text for text in drawn.iter(f"{SVG}text") if text.get("class") == "label"] == ["Dish 0", "Far dish"]
    assert len(list(drawn.iter(f"{SVG}circle"))) == 4
