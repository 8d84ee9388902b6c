"""Part of `memory`: what a filled ring adds to a process, against rows x bytes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import psutil

from benchmarks.cartpole_rows import OBSERVATION_SIZE, cartpole_rows
from benchmarks.launching import spread
from benchmarks.memory_samples import MB
from common.rows import pack
from replay_server.buffer import ReplayBuffer, row_bytes

RING_BAR = 1.10  # of rows x bytes
_RING_CHUNK = 500  # rows in an insert while filling


def measure_ring(ring_rows: int, repeats: int) -> list[dict[str, Any]]:
    """One row for each ring filled."""
    expected = ring_rows * row_bytes(OBSERVATION_SIZE) / MB
    rows = []
    for repetition in range(repeats):
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
            allocated, filled = pool.submit(fill_ring, ring_rows).result()
        rows.append(
            {
                "part": "ring",
                "repetition": repetition,
                "ring_rows": ring_rows,
                "expected_mb": expected,
                "allocated_mb": allocated,
                "filled_mb": filled,
                "ratio": filled / expected,
            }
        )
    report(rows)
    return rows


def fill_ring(rows: int) -> tuple[float, float]:
    """MB that a ring adds to this process's USS when it is made, and when every row was written."""
    chunk = pack(cartpole_rows(_RING_CHUNK, np.random.default_rng(0)))
    ReplayBuffer(_RING_CHUNK, OBSERVATION_SIZE).insert(chunk)  # what the first insert of a process loads
    process = psutil.Process()
    before = process.memory_full_info().uss
    ring = ReplayBuffer(rows, OBSERVATION_SIZE)
    allocated = process.memory_full_info().uss
    while ring.inserted < rows:
        ring.insert(chunk)
    return (allocated - before) / MB, (process.memory_full_info().uss - before) / MB


def report(rows: list[dict[str, Any]]) -> None:
    """One sentence."""
    first = rows[0]
    print(
        f"ring of {first['ring_rows']:,} rows: rows x bytes {first['expected_mb']:.1f} MB; added to the USS "
        f"{spread([row['filled_mb'] for row in rows], '.1f')} MB, of which "
        f"{spread([row['allocated_mb'] for row in rows], '.1f')} before the first row; "
        f"ratio {spread([row['ratio'] for row in rows], '.3f')} (bar: {RING_BAR:g})"
    )
