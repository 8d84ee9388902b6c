"""The canonical form of a network on the wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.params import decode, encode, layer_shapes
from common.types import Params


@given(
    observation_size=st.integers(1, 9),
    hidden=st.lists(st.integers(1, 9), max_size=3),
    action_count=st.integers(1, 5),
    version=st.integers(0, 2**62),
)
def test_encoded_params_come_back_as_they_were(
    observation_size: int, hidden: list[int], action_count: int, version: int
) -> None:
    rng = np.random.default_rng(version)
    shapes = layer_shapes(observation_size, hidden, action_count)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    decoded = decode(encode(Params(version=version, env_steps=7, arrays=arrays)))
    assert (decoded.version, decoded.env_steps, list(decoded.arrays)) == (version, 7, list(arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(decoded.arrays[name], array)
        assert decoded.arrays[name].dtype == np.float32


def test_decoded_arrays_are_never_written_to() -> None:
    arrays = {"0.weight": np.ones((2, 3), np.float32), "0.bias": np.ones(2, np.float32)}
    decoded = decode(encode(Params(version=1, env_steps=2, arrays=arrays)))
    with pytest.raises(ValueError, match="read-only"):
        decoded.arrays["0.weight"][0, 0] = 5.0
