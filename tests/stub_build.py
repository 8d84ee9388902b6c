"""A build whose launch.py takes no time: it leaves the files of a run made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from run_folders import write_constant_network, write_run

_LAUNCH = """
import json, pathlib, shutil, sys
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
with (here / "asked").open("a") as asked:
    asked.write(json.dumps(arguments) + "\\n")
if arguments[arguments.index("--seed") + 1] == "1":
    print("something else")
    print("error: --seed 1: is refused", file=sys.stderr)
    sys.exit(2)
shutil.copytree(here / "run", arguments[arguments.index("--run-dir") + 1])
"""


def stub_build(folder: Path, solved: bool = True) -> Path:
    """Seed 1 fails; all others have a look of 500 and a network that always pushes the cart to the right."""
    run = folder / "run"
    write_run(run, returns=[20.0], solved=solved)
    config = json.loads((run / "config.json").read_text())
    write_constant_network(run, "CartPole-v1", [0.0, 1.0], observation_size=4)
    (run / "config.json").write_text(json.dumps({**config, "git_commit": "0123456789abcdef"}))
    summary = {
        "solved": solved,
        "seconds_to_solve": 1.0,
        "solved_env_steps": 20,
        "stopped_by": "solved",
        "env_steps": 3000,
        "learner_steps": 200,
        "last_evaluation_return": 500.0,
    }
    (run / "summary.json").write_text(json.dumps(summary))
    (folder / "launch.py").write_text(_LAUNCH)
    return folder


def asked(build: Path) -> list[list[str]]:
    """The command lines so far."""
    log = build / "asked"
    lines: list[Any] = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return lines
