#!/usr/bin/env bash
# moviepy 2.2.1: FFMPEG_VideoWriter to a folder that does not exist writes nothing and says nothing, although its frame
# was taken and it was closed: `close` does not look at ffmpeg's exit code. So a short video can be missing without an
# error.
# Seen: no exception, no file.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "moviepy==2.2.1" "numpy==2.4.6"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os
import sys

import numpy as np
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

path = os.path.join(sys.argv[1], "nowhere", "clip.mp4")
with FFMPEG_VideoWriter(path, (16, 16), fps=30) as writer:
    writer.write_frame(np.zeros((16, 16, 3), dtype=np.uint8))
print("no exception; the file is there:", os.path.exists(path))
assert not os.path.exists(path)
there = os.path.join(sys.argv[1], "clip.mp4")
with FFMPEG_VideoWriter(there, (16, 16), fps=30) as writer:
    writer.write_frame(np.zeros((16, 16, 3), dtype=np.uint8))
print("in a folder that exists it is there:", os.path.exists(there))
assert os.path.exists(there)
PYTHON
