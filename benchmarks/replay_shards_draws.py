"""Part of `replay-shards`: draws through Ray from shards of unlike sizes, against these sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from actors.actor import join_episodes
from benchmarks.cartpole_rows import OBSERVATION_SIZE
from common.config import Config, ReplayConfig, resolve, rows_per_call
from common.rows import row_dtype
from common.seeding import seed_sequence
from common.types import Chunk
from driver import ray_environment

_LIMITER_OPEN = 1e15  # samples of tolerance: no request waits and no ack is held
_CHUNKS_A_SHARD = 100
_CHUNK_ROWS = 32  # of shard 0; of shard n it is n + 1 times as many


def measure_draws(shards: int, calls: int) -> dict[str, Any]:
    """Sizes, rows sampled of each shard, and the p-value of the chi-square test; nothing of a single shard."""
    if shards == 1:
        return {"sizes": None, "sampled": None, "p_value": None}
    ray_environment.prepare(embedded=True)
    import ray  # after its environment variables are set

    from driver.embedded.start import start_embedded
    from replay_server.client import CoordinatorClient, ReplayWriter, sharded_reader
    from replay_server.coordinator import Coordinator
    from replay_server.shard import ReplayShard

    replay_config = ReplayConfig(replay_shards=shards, tolerance_samples=_LIMITER_OPEN, max_env_steps=None)
    config = resolve(Config(replay=replay_config), OBSERVATION_SIZE)
    rows = rows_per_call(config, OBSERVATION_SIZE)
    session = start_embedded(cpus=shards, dashboard=False)
    try:
        coordinator = ray.remote(Coordinator).options(num_cpus=0).remote(config.replay, rows)
        rings = [
            ray.remote(ReplayShard)
            .options(num_cpus=1)
            .remote(
                config.replay,
                OBSERVATION_SIZE,
                seed_sequence(0, "replay", shard),
                CoordinatorClient(coordinator),
                shard,
            )
            for shard in range(shards)
        ]
        writer = ReplayWriter(*rings)
        for seq in range(_CHUNKS_A_SHARD * shards):
            writer.add(_chunk(seq, _CHUNK_ROWS * (1 + seq % shards)))
        reader = sharded_reader(coordinator, rings, rows, seed_sequence(0, "replay", index=shards))
        sampled = np.zeros(shards, dtype=np.int64)
        no_ids, no_priority = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        for _ in range(calls):
            reply = reader.sample(no_ids, no_priority)
            assert reply.rows is not None, reply.waiting_for  # the limiter is open
            sampled += np.bincount(reply.rows["id"] % shards, minlength=shards)
        sizes = np.array([ring.size for ring in ray.get([ring.stats.remote() for ring in rings])])
    finally:
        session.close()
    expected = sizes / sizes.sum() * sampled.sum()
    p_value = float(stats.chisquare(sampled, expected).pvalue)
    return {"sizes": sizes.tolist(), "sampled": sampled.tolist(), "p_value": p_value}


def _chunk(seq: int, rows: int) -> Chunk:
    """Of actor 0, whose chunks go round robin from shard 0 on."""
    return Chunk(
        actor_id=0,
        incarnation=0,
        seq=seq,
        params_version=0,
        params_held=0,
        params_held_since=0.0,
        env_steps=rows,
        rows=np.zeros(rows, dtype=row_dtype(OBSERVATION_SIZE)),
        episodes=join_episodes([]),
    )
