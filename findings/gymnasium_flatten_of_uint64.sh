#!/usr/bin/env bash
# gymnasium 1.4.0, numpy 2.4.6: spaces.flatten of a MultiDiscrete with dtype uint64 raises IndexError, although the space
# is accepted, contains the sample, and flatten_space describes the result. Every smaller unsigned dtype works: uint64
# offsets and int64 zeros add up to float64, which is no index.
# Seen: uint8, uint16, uint32: [0, 0, 1, 1, 0]; uint64: IndexError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "gymnasium==1.4.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from gymnasium import spaces

seen = {}
for dtype in (np.uint8, np.uint16, np.uint32, np.uint64):
    space = spaces.MultiDiscrete(np.array([3, 2]), dtype=dtype)
    sample = np.array([2, 0], dtype=dtype)
    assert space.contains(sample)
    assert spaces.flatten_space(space).shape == (5,)
    try:
        seen[dtype.__name__] = spaces.flatten(space, sample).tolist()
    except IndexError as error:
        seen[dtype.__name__] = f"IndexError: {error}"
print(seen)
assert [seen[name] for name in ("uint8", "uint16", "uint32")] == [[0, 0, 1, 1, 0]] * 3
assert seen["uint64"].startswith("IndexError")
PYTHON
