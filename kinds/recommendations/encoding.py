"""Customers' ids and arrays as bytes, and customers' hashes, by which they are divided into shards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Whole = NDArray[np.int64]


def hashes(names: NDArray[np.object_]) -> NDArray[np.uint64]:
    """Hashes of customers' ids, which are bytes."""
    return pd.util.hash_array(names, categorize=False)


def shard(found: NDArray[np.uint64], shards: int) -> Whole:
    """Each hash's shard, of this many equal ranges."""
    return ((found >> np.uint64(32)).astype(np.int64) * shards) >> 32


def distinct(texts: bytes, lengths: Whole) -> tuple[Whole, pa.Array]:
    """Each text's number in the order of the distinct ones' first occurrence, and the distinct ones."""
    encoded = texts_of(texts, lengths).dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def texts_of(texts: bytes, lengths: Whole) -> pa.Array:
    """Texts of these lengths, one after another."""
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(texts)]
    return pa.Array.from_buffers(pa.large_binary(), len(lengths), buffers)


def objects(texts: pa.Array) -> NDArray[np.object_]:
    """The texts as Python's bytes."""
    return np.array(texts.to_pylist(), dtype=object)


def texts(names: pa.Array) -> dict[str, NDArray[Any]]:
    """The texts as arrays: their lengths, and all their bytes."""
    _, offsets, texts = names.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[: len(names) + 1]
    return {"name_lengths": np.diff(ends), "names": np.frombuffer(texts or b"", dtype=np.uint8)[: ends[-1]]}


def as_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays by name; integers in as few bytes as hold all of an array."""
    file = io.BytesIO()
    np.savez(file, **{name: _narrowed(values) for name, values in arrays.items()})  # type: ignore[arg-type]  # by name
    return file.getvalue()


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    return values.astype(np.min_scalar_type(most if least >= 0 else min(least, -most - 1)))
