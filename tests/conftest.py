"""What all tests share: Ray's settings before Ray is imported, and one Ray session for those that need it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from driver import ray_environment
from driver.embedded.workers.handle import worker_template

_HERE = str(Path(__file__).parent)  # of environments.py, which runs name in --env
sys.path.insert(0, _HERE)
os.environ["PYTHONPATH"] = _HERE
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: what tests start would ignore it too, as it should
    signal.signal(signal.SIGHUP, lambda number, frame: None)  # a handler is not inherited, and this process goes on
ray_environment.prepare(embedded=True)
torch.set_num_threads(1)  # two that wait for each other beside a busy run take ten times as long for small matrices


_SLOW_FILES = (
    "test_cluster",
    "test_training",
    "test_launch",
    "test_survival",
    "test_security",
    "test_workers",
    "test_search_path",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first, so that no worker is left with one of them at the end."""
    order = {name: place for place, name in enumerate(_SLOW_FILES)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(autouse=True)
def own_niceness(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that is made here does not make this process nicer, and with it the tests and Ray sessions after it."""
    for module in ("actors.actor", "replay_server.coordinator", "replay_server.shard"):
        monkeypatch.setattr(f"{module}.be_nice", lambda niceness: None)


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An embedded Ray without dashboard, with a home folder of its own for its token."""
    from driver.embedded.start import start_embedded  # imports Ray

    patch = pytest.MonkeyPatch()
    patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    with worker_template():
        ray_session = start_embedded(cpus=12, dashboard=False)
        yield
        ray_session.close()
    patch.undo()
