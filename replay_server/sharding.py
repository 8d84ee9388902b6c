"""Which shard holds what: every chunk, every id and a share of the capacity belong to one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shard_of_chunk(actor_id: int, seq: int, shards: int) -> int:
    """Round robin, each actor from another one on. A chunk that is sent again goes to the same shard."""
    return (actor_id + seq) % shards


def shard_of_ids(ids: NDArray[np.int64], shards: int) -> NDArray[np.int64]:
    """`[N]`. A shard's own n-th item has the id n * shards + shard, so no two shards give out the same."""
    return ids % shards


def shard_capacity(capacity: int, shard: int, shards: int) -> int:
    """Its share of the whole; shares differ by 1 at most."""
    return capacity // shards + (shard < capacity % shards)
