#!/usr/bin/env bash
# gymnasium 1.4.0: max_episode_steps=-1, which `make` documents as "no time limit", cuts every episode at its first step
# where `make_vec` uses an environment's own vectorised class. The same call with single environments has no limit.
# Seen: make False, sync [False, False], vector_entry_point [True, True].
# It matters to whoever passes a user's max_episode_steps on to both: training sees episodes of one step, no error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "gymnasium[classic-control]==1.4.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import gymnasium
import numpy as np

env = gymnasium.make("CartPole-v1", max_episode_steps=-1)
env.reset(seed=0)
single = env.step(0)[3]
print("make", single)
seen = {}
for mode in ("sync", "vector_entry_point"):
    envs = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode=mode, max_episode_steps=-1)
    envs.reset(seed=0)
    seen[mode] = envs.step(np.zeros(2, dtype=np.int64))[3].tolist()
    print(mode, seen[mode])
assert single is False
assert seen == {"sync": [False, False], "vector_entry_point": [True, True]}
PYTHON
