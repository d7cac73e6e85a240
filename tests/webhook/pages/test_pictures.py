"""Pictures: areas and colours in proportion, and nothing in them that a text could break."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from webhook.pages import pictures
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


def test_names_of_others_stay_text() -> None:
    evil = '"><script>alert(1)</script>&'
    tile = pictures.Tile(evil, evil, size=1, value=1, title=evil, link=f"/?s={evil}")
    heat = pictures.heat_map([(evil, [pictures.Cell(evil, 1, evil, evil)])], [evil], evil)
    for picture in (pictures.treemap_of([tile], evil), heat, pictures.score_strip(3, [evil] * 4, evil)):
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
