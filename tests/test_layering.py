"""What must not be imported where: torch costs each process a second and 150 MB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("actors.actor, actors.evaluator", "torch"),
        ("replay_server.server, replay_server.shard, replay_server.coordinator, replay_server.client", "torch"),
        ("learner.process, learner.client, driver.training", "torch"),
        ("learner.learner, learner.process, replay_server.server", "gymnasium"),
        ("actors.actor, actors.evaluator, learner.learner, replay_server.server", "tyro"),
        ("actors.actor, actors.evaluator, replay_server.server, learner.learner, common.config", "ray"),
        ("replay_server.shard, replay_server.coordinator, replay_server.sharded_reader", "ray"),
        ("driver.command_line, launch", "ray"),  # Ray reads its environment variables when it is imported
    ],
)
def test_modules_do_without_heavy_imports(modules: str, absent: str) -> None:
    code = f"import sys, {modules}; sys.exit(int({absent!r} in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
