"""Whose module a name means, where the user's folder holds files of the same names."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from common.search_path import OURS, ROOT, hidden_file

TAKEN = ("actors", "common", "json", "learner", "numpy", "queue", "random", "ray", "torch", "types")
ENVIRONMENT = """
import a_helper
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
gymnasium.register("Own-v0", entry_point=CartPoleEnv, max_episode_steps=100)
"""
ALL_OF_THEM = """
import importlib, sys
sys.path.insert(0, {root!r})
from common import search_path
search_path.settle()
sys.path[:0] = [{folder!r}]  # as Ray does at a worker's first call
found = [importlib.import_module(name).__spec__.origin for name in ("colorsys", "sched", "tyro", "learner", "a_helper")]
print(*found, sep="\\n")
print(sys.path[-2:] == [{folder!r}, {root!r}])
"""


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    """A user's environment beside files whose names mean other modules; who imports one of these fails."""
    folder = tmp_path / "user"
    folder.mkdir()
    for name in (*TAKEN, "colorsys", "sched", "tyro"):
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name}.py of the user was imported')\n")
    (folder / "my_env.py").write_text(ENVIRONMENT)
    (folder / "a_helper.py").write_text("")
    return folder


def test_ours_the_librarys_and_what_is_installed_win_wherever_the_users_folder_stands(user_folder: Path) -> None:
    code = ALL_OF_THEM.format(root=ROOT, folder=str(user_folder))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=user_folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    *installed, ours, own, in_order = done.stdout.splitlines()
    assert not any(Path(file).is_relative_to(user_folder) for file in installed)
    assert Path(ours).is_relative_to(ROOT)
    assert Path(own) == user_folder / "a_helper.py"
    assert in_order == "True"


def test_our_names_are_those_that_are_installed() -> None:
    settings = tomllib.loads((Path(ROOT) / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {name for name in settings["packages"] if "." not in name}
    assert packages | set(settings["py-modules"]) == OURS


@pytest.mark.parametrize("name", TAKEN)
def test_a_file_is_hidden_by_a_module_of_the_same_name(name: str, user_folder: Path) -> None:
    assert hidden_file(f"{name}.inner", str(user_folder)) == str(user_folder / f"{name}.py")


def test_a_package_is_hidden_too_and_what_nobody_else_has_is_not(user_folder: Path) -> None:
    for name in ("queue_", "heapq"):
        (user_folder / name).mkdir()
        (user_folder / name / "__init__.py").write_text("")
    assert hidden_file("heapq", str(user_folder)) == str(user_folder / "heapq" / "__init__.py")
    assert hidden_file("queue_", str(user_folder)) is None
    assert hidden_file("my_env", str(user_folder)) is None
    assert hidden_file("no_such_file", str(user_folder)) is None
    assert hidden_file("learner", ROOT) is None  # it is that module


@pytest.mark.parametrize("template", ["with the template", "without"])
def test_a_run_from_a_folder_of_such_names_trains(template: str, user_folder: Path, tmp_path: Path) -> None:
    """Driver, template, workers and Ray's own processes; `launch.py` as a user starts it, from the user's folder."""
    program = [str(Path(ROOT) / "launch.py")]
    if template == "without":
        program = ["-c", _WITHOUT_TEMPLATE.format(root=ROOT)]
    done = subprocess.run(
        [sys.executable, *program, "--env", "my_env:Own-v0", "--actors", "1", "--no-dashboard", "--batch-size", "32",
         "--learning-starts-transitions", "200", "--max-learner-steps", "20", "--run-dir", str(tmp_path / "run")],
        cwd=user_folder, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "q_network.pth").exists()


_WITHOUT_TEMPLATE = """
import sys
sys.path[0] = sys.argv[0] = {root!r}
from common import search_path
search_path.settle()
from contextlib import nullcontext
import launch
from driver.signals import StopSignals
launch.worker_template = nullcontext
signals = StopSignals()
signals.install()
sys.exit(launch.main(signals))
"""
