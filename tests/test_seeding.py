"""Random streams: those handed out, and the global ones that anyone's code may draw from."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from launching import ROOT

from common.seeding import environment_seeds, seed_global_streams, seed_sequence


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1, dtype=torch.float64))


def test_global_streams_follow_from_seed_role_index_and_incarnation_and_from_nothing_else() -> None:
    sequences = {
        "actor": lambda: seed_sequence(3, "actor"),
        "another": lambda: seed_sequence(3, "actor", index=1),
        "its replacement": lambda: seed_sequence(3, "actor", index=1, incarnation=1),
        "evaluator": lambda: seed_sequence(3, "evaluator"),
        "another seed": lambda: seed_sequence(4, "actor"),
    }
    seen = {}
    for name, sequence in sequences.items():
        seed_global_streams(sequence())
        seen[name] = draws()
    for column in zip(*seen.values(), strict=True):
        assert len(set(column)) == len(sequences)
    for name, sequence in sequences.items():
        same = sequence()
        seed_global_streams(same)
        assert draws() == seen[name]
        seed_global_streams(same)
        assert draws() == seen[name]


def test_global_streams_differ_from_each_other_and_from_the_streams_handed_out() -> None:
    seeds = seed_sequence(3, "actor")
    seed_global_streams(seeds)
    numbers = [random.random(), np.random.rand(), float(torch.rand(1, dtype=torch.float64))]
    numbers += [np.random.default_rng(child).random() for child in (seed_sequence(3, "actor"), *seeds.spawn(3))]
    assert len(set(numbers)) == len(numbers)


def test_seeding_brings_torch_into_no_process_that_lacks_it() -> None:
    program = (
        "import sys\n"
        "from common.seeding import seed_global_streams, seed_sequence\n"
        "assert not seed_global_streams(seed_sequence(0, 'actor'))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("count", [1, 12, 100_000])
def test_seeds_of_environments_are_int32_even_with_the_index_added(count: int) -> None:
    seeds = environment_seeds(np.random.SeedSequence(1), count)
    assert len(seeds) == count
    assert 0 <= min(seeds) <= max(seeds) < 2**31 - count
    assert len(set(seeds)) > 0.999 * count
    assert seeds == environment_seeds(np.random.SeedSequence(1), count)
