#!/usr/bin/env bash
# gymnasium 1.4.0: an empty Dict or Tuple is a space with one element, sample and contains work, and flatdim says 0. But
# spaces.flatten_space and spaces.flatten raise ValueError, because numpy concatenates nothing; so does a larger Dict that
# has one as a part.
# Seen: flatdim 0, 0, 2; flatten_space and flatten: ValueError three times each.
# It matters to wrappers that take entries out of Dict observations, and may take the last one of a branch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "gymnasium==1.4.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
from gymnasium import spaces

cases = {
    "Dict": spaces.Dict({}),
    "Tuple": spaces.Tuple([]),
    "Dict in a Dict": spaces.Dict({"left": spaces.Discrete(2), "right": spaces.Dict({})}),
}


def outcome(call):
    try:
        return call()
    except ValueError as error:
        return f"ValueError: {error}"


seen = {}
for name, space in cases.items():
    sample = space.sample()
    assert space.contains(sample)
    seen[name] = (
        spaces.flatdim(space),
        outcome(lambda: spaces.flatten_space(space)),
        outcome(lambda: spaces.flatten(space, sample)),
    )
    print(name, seen[name])
assert [size for size, *_ in seen.values()] == [0, 0, 2]
assert all(str(result).startswith("ValueError") for _, *results in seen.values() for result in results)
PYTHON
