#!/usr/bin/env bash
# matplotlib 3.11.2: with MPLBACKEND as a Jupyter kernel sets it, inherited by a program in an environment without
# matplotlib-inline, `import matplotlib` itself raises. A program that catches this and tries again without the variable
# gets another error, because the half-imported package stays. The same value in a matplotlibrc raises nothing.
# Seen: ValueError ... is not a valid value for backend; AttributeError: ... has no attribute '_docstring'; no error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "matplotlib==3.11.2"
cd "$folder"
MPLBACKEND=module://matplotlib_inline.backend_inline "$folder/venv/bin/python" - <<'PYTHON'
import os

try:
    import matplotlib
except ValueError as error:
    first = str(error)
print("with the variable:", first)
del os.environ["MPLBACKEND"]
try:
    import matplotlib  # noqa: F811
    import matplotlib.figure

    second = ""
except AttributeError as error:
    second = str(error)
print("without it, in the same process:", second)
assert "is not a valid value for backend" in first
assert "_docstring" in second
PYTHON
echo "backend: module://matplotlib_inline.backend_inline" > "$folder/matplotlibrc"
"$folder/venv/bin/python" -c "import matplotlib.figure; print('in a matplotlibrc: imported')"
