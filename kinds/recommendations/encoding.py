"""Customers' ids and arrays as bytes, and customers' hashes, by which they are divided into shards."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from analytics.recommendations.histories import offsets_of

Whole = NDArray[np.int64]


def hashes(names: pa.Array) -> NDArray[np.uint64]:
    """Hashes of customers' ids."""
    return pd.util.hash_array(np.array(names.to_pylist(), dtype=object), categorize=False)


def shard(found: NDArray[np.uint64], shards: int) -> Whole:
    """Each hash's shard, of this many equal ranges."""
    return ((found >> np.uint64(32)).astype(np.int64) * shards) >> 32


def texts_of(texts: bytes, lengths: NDArray[Any]) -> pa.Array:
    """Texts of these lengths, one after another, as Arrow's large_binary."""
    return texts_until(texts, offsets_of(lengths))


def texts_until(texts: bytes, offsets: Whole) -> pa.Array:
    """Texts that begin at these offsets, except the last, where they end."""
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(texts)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


def texts(names: pa.Array) -> dict[str, NDArray[Any]]:
    """The texts as arrays: their lengths, and all their bytes."""
    _, offsets, texts = names.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[names.offset :][: len(names) + 1]
    return {"name_lengths": np.diff(ends), "names": np.frombuffer(texts or b"", dtype=np.uint8)[ends[0] : ends[-1]]}


def as_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays by name, in Arrow's stream format; integers in as few bytes as hold all of an array.

    An array is a list in the only row, since they have different lengths. Reading NumPy's own format takes five times
    as long for small arrays.
    """
    narrowed = {name: _narrowed(values) for name, values in arrays.items()}
    lists = [pa.LargeListArray.from_arrays([0, len(values)], pa.array(values)) for values in narrowed.values()]
    batch = pa.record_batch(lists, names=list(narrowed))
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(stream.getvalue())


def from_bytes(stored: bytes) -> dict[str, NDArray[Any]]:
    """The arrays by name."""
    if stored.startswith(b"PK"):  # as older versions stored them
        return dict(np.load(io.BytesIO(stored)))
    batch = pa.ipc.open_stream(stored).read_next_batch()
    return {name: batch.column(name).values.to_numpy() for name in batch.schema.names}


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    least, most = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    return values.astype(np.min_scalar_type(most if least >= 0 else min(least, -most - 1)))
