#!/usr/bin/env bash
# ale-py 0.12.0, gymnasium 1.4.0: one id, two tasks. gymnasium.make("ALE/MsPacman-v5") gives frames of (210, 160, 3) and the
# game's own scores. gymnasium.make_vec of the same id takes, unless told otherwise, the vectorised class that ale-py
# registers with it: stacks of four grey frames, (4, 84, 84), and rewards clipped to 1. With vectorization_mode="sync" it is
# the single task again.
# Seen: rewards [0.0, 10.0] of "sync", [0, 1] of make_vec as it comes.
# It matters to whoever tunes or probes on `make` and trains on `make_vec`, and to whoever compares returns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "ale-py==0.12.0" "gymnasium==1.4.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import ale_py
import gymnasium
import numpy as np

ENV = "ALE/MsPacman-v5"
gymnasium.register_envs(ale_py)


def played(**mode):
    """Shape of an observation, and the rewards of 600 steps of two copies."""
    envs = gymnasium.make_vec(ENV, num_envs=2, **mode)
    rng = np.random.default_rng(0)
    envs.reset(seed=1)
    rewards = set()
    for _ in range(600):
        rewards |= set(envs.step(rng.integers(envs.single_action_space.n, size=2))[1].tolist())
    envs.close()
    return envs.single_observation_space.shape, sorted(rewards)


single = gymnasium.make(ENV).observation_space.shape
as_it_comes, sync = played(), played(vectorization_mode="sync")
print("make", single, "make_vec", as_it_comes, "sync", sync)
assert single == (210, 160, 3)
assert sync[0] == single and max(sync[1]) == 10
assert as_it_comes[0] == (4, 84, 84) and max(as_it_comes[1]) == 1
PYTHON
