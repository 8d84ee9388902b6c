"""Sample requests on the wire."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.types import SampleRequest
from replay_server.request import decode, encode


@given(rows=st.integers(1, 2**40), ids=st.lists(st.integers(0, 2**62), max_size=20), seed=st.integers(0, 100))
def test_an_encoded_request_comes_back_as_it_was(rows: int, ids: list[int], seed: int) -> None:
    priority = np.random.default_rng(seed).random(len(ids)).astype(np.float32)
    decoded = decode(encode(SampleRequest(rows=rows, ids=np.array(ids, dtype=np.int64), priority=priority)))
    assert (decoded.rows, decoded.ids.tolist()) == (rows, ids)
    np.testing.assert_array_equal(decoded.priority, priority)
    assert (decoded.ids.dtype, decoded.priority.dtype) == (np.int64, np.float32)
