#!/usr/bin/env bash
# MinAtar 1.0.15, gymnasium 1.4.0: the package declares an entry point of the group gymnasium.envs, for plug-ins, and still
# none of its ids exists, neither at once nor after `import minatar`. Gymnasium has not read entry points of that group
# since 1.0; the ids appear when minatar.gym.register_envs is called.
# Seen: declared ['minatar.gym:register_envs'], ids 0 before, 0 after the import, more than 0 after the call.
# It matters to whoever finds plug-ins by their entry points, or tells users that an import is enough.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "minatar==1.0.15" "gymnasium==1.4.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import distribution

import gymnasium


def ids():
    return sum("MinAtar" in name for name in gymnasium.registry)


declared = [(point.group, point.value) for point in distribution("minatar").entry_points]
print("declared", declared)
seen = [ids()]
import minatar

seen.append(ids())
import minatar.gym

minatar.gym.register_envs()
seen.append(ids())
print("ids", seen)
assert [value for _, value in declared] == ["minatar.gym:register_envs"]
assert seen[:2] == [0, 0] and seen[2] > 0
PYTHON
