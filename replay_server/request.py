"""A sample request as one buffer: Ray ships bytes as they are, and pickles anything else."""

from __future__ import annotations

import numpy as np

from common.types import SampleRequest

_ROWS_BYTES, _ID_BYTES, _PRIORITY_BYTES = 8, 8, 4


def encode(request: SampleRequest) -> bytes:
    """rows, ids, priority."""
    return b"".join([request.rows.to_bytes(_ROWS_BYTES, "little"), request.ids.tobytes(), request.priority.tobytes()])


def decode(message: bytes) -> SampleRequest:
    """The request of `encode`; its arrays are read-only views of the message."""
    count = (len(message) - _ROWS_BYTES) // (_ID_BYTES + _PRIORITY_BYTES)
    return SampleRequest(
        rows=int.from_bytes(message[:_ROWS_BYTES], "little"),
        ids=np.frombuffer(message, np.int64, count, _ROWS_BYTES),
        priority=np.frombuffer(message, np.float32, count, _ROWS_BYTES + count * _ID_BYTES),
    )
