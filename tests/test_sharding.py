"""Which shard holds what."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay_server.sharding import shard_capacity, shard_of_chunk, shard_of_ids


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_each_actor_goes_round_robin_and_together_they_begin_everywhere(shards: int) -> None:
    for actor_id in range(5):
        visited = [shard_of_chunk(actor_id, seq, shards) for seq in range(2 * shards)]
        assert visited[0] == actor_id % shards
        assert Counter(visited) == dict.fromkeys(range(shards), 2)


@given(capacity=st.integers(1, 10_000), shards=st.integers(1, 50))
def test_shares_of_the_capacity_add_up_to_it_and_differ_by_one_at_most(capacity: int, shards: int) -> None:
    shares = [shard_capacity(capacity, shard, shards) for shard in range(shards)]
    assert sum(shares) == capacity
    assert max(shares) - min(shares) <= 1


def test_ids_tell_their_shard() -> None:
    assert shard_of_ids(np.array([0, 1, 2, 3, 4, 5, 300_000_000_001]), 3).tolist() == [0, 1, 2, 0, 1, 2, 1]
    assert shard_of_ids(np.array([0, 1, 2]), 1).tolist() == [0, 0, 0]
