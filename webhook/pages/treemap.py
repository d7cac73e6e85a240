"""A treemap's rectangles: the squarified layout of Bruls, Huizing and van Wijk (2000)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


def layout(sizes: Sequence[float], width: float, height: float) -> list[Box]:
    """One rectangle per size, with proportional areas that fill the whole; sizes are positive and descending."""
    total = sum(sizes)
    areas = [size * width * height / total for size in sizes]
    boxes: list[Box] = []
    free = Box(0, 0, width, height)
    while len(boxes) < len(areas):
        rest = areas[len(boxes) :]
        side = min(free.width, free.height)
        count = 1
        while count < len(rest) and _worst(rest[: count + 1], side) <= _worst(rest[:count], side):
            count += 1
        row, free = _cut(free, rest[:count])
        boxes += row
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    """The largest aspect ratio in a row of rectangles."""
    whole = sum(row)
    return max(side**2 * max(row) / whole**2, whole**2 / (side**2 * min(row)))


def _cut(free: Box, row: Sequence[float]) -> tuple[list[Box], Box]:
    """A row's rectangles along the shorter side, and the remaining box."""
    whole = sum(row)
    boxes: list[Box] = []
    if free.width >= free.height:
        thickness = whole / free.height
        y = free.y
        for area in row:
            boxes.append(Box(free.x, y, thickness, area / thickness))
            y += area / thickness
        return boxes, Box(free.x + thickness, free.y, free.width - thickness, free.height)
    thickness = whole / free.width
    x = free.x
    for area in row:
        boxes.append(Box(x, free.y, area / thickness, thickness))
        x += area / thickness
    return boxes, Box(free.x, free.y + thickness, free.width, free.height - thickness)
