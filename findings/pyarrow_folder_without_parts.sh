#!/usr/bin/env bash
# pyarrow 26.0.1: a folder without Parquet files reads as a table without rows and without columns, and a column asked
# for in it is missed under names of pyarrow's own, "__fragment_index" and so on. A folder that does not exist raises.
# A writer that makes the folder first and puts its first part there a moment later has readers that see this between.
# Seen: (0, 0); ArrowInvalid: No match for FieldRef.Name(loss) in __fragment_index: int32 ...; FileNotFoundError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "pyarrow==26.0.1"
mkdir "$folder/metrics.parquet"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys

import pyarrow
import pyarrow.parquet

folder = sys.argv[1]
shape = pyarrow.parquet.read_table(f"{folder}/metrics.parquet").shape
print(shape)
try:
    pyarrow.parquet.read_table(f"{folder}/metrics.parquet", columns=["loss"])
    told = ""
except pyarrow.ArrowInvalid as error:
    told = str(error)
print(told)
try:
    pyarrow.parquet.read_table(f"{folder}/nowhere.parquet")
    missing = None
except FileNotFoundError as error:
    missing = error
print(repr(missing))
assert shape == (0, 0)
assert "FieldRef.Name(loss)" in told
assert "__fragment_index" in told
assert missing is not None
PYTHON
