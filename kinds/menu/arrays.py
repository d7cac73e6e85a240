"""Arrays of whole numbers for PostgreSQL: as they lie in memory, which costs a tenth of writing each number down."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BIGINT, _BIGINTS = 20, 1016  # the types' numbers in every PostgreSQL
_ELEMENT = np.dtype([("size", ">i4"), ("value", ">i8")])


class WholeArray(Dumper):
    """A one-dimensional array of int64 as a bigint[]."""

    format = Format.BINARY
    oid = _BIGINTS

    def dump(self, obj: Any) -> bytes:
        """The array in PostgreSQL's binary form: dimensions, no NULLs, the type; then each element with its size."""
        if not len(obj):
            return struct.pack(">iii", 0, 0, _BIGINT)
        elements = np.empty(len(obj), dtype=_ELEMENT)
        elements["size"], elements["value"] = 8, obj
        return struct.pack(">iiiii", 1, 0, _BIGINT, len(obj), 1) + elements.tobytes()
