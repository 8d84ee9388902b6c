#!/usr/bin/env bash
# ray 2.60.0: while `ray.init` waits for the port of the GCS, it is in C++ and holds Python's interpreter lock, for up to
# its limit of 30 s. No other thread runs then, nor the handler of a signal: a program that wants to be stopped while
# its cluster starts cannot be. The function is the one that Ray's own start calls; here its file never comes.
# Seen: a thread that ticks every 20 ms ticks not once in the 1.5 s that the call waits; then RuntimeError: Timed out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "ray==2.60.0"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import threading
import time

from ray._raylet import wait_for_persisted_port

ticks = [time.monotonic()]
over = threading.Event()


def tick():
    while not over.wait(0.02):
        ticks.append(time.monotonic())


thread = threading.Thread(target=tick)
thread.start()
time.sleep(0.2)
before = len(ticks)
try:
    wait_for_persisted_port(sys.argv[1], "ab" * 28, "gcs_server_port", timeout_ms=1500)
    told = ""
except RuntimeError as error:
    told = str(error)
over.set()
thread.join()
gap = max(later - earlier for earlier, later in zip(ticks[before - 1 :], ticks[before:]))
print(f"the longest time without a tick: {gap:.2f} s; then: {told}")
assert gap > 1.3
assert "Timed out" in told
PYTHON
