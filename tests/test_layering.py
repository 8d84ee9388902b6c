"""Who may import what: torch costs each process a second and 150 MB, and a circle of packages a reader more."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("reporting", set()),
        ("cluster", set()),
        ("embedded", set()),
        ("probe", set()),
        ("supervision", {"reporting", "cluster"}),
    ],
)
def test_the_drivers_packages_import_each_other_in_one_direction(package: str, others: set[str]) -> None:
    packages = {path.parent.name for path in (ROOT / "driver").glob("*/__init__.py")}
    assert packages == {"reporting", "cluster", "embedded", "probe", "supervision"}
    code = "".join(path.read_text() for path in (ROOT / "driver" / package).rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import) driver\.(\w+)", code, re.MULTILINE)) & packages
    assert imported <= {package, *others}
    assert re.search(r"^\s*from driver import", code, re.MULTILINE) is None
