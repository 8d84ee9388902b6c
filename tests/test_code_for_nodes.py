"""What travels to nodes that have no copy of the code."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from driver.cluster.code_for_nodes import ROOT, is_submitted_job, runtime_env


def packed(tmp_path: Path, root: Path = ROOT) -> set[str]:
    """The names in the archive that Ray makes of a working tree."""
    settings = runtime_env("CartPole-v1", root)
    target = tmp_path / "package.zip"
    create_package(settings["working_dir"], target, include_gitignore=True, excludes=settings["excludes"])
    with zipfile.ZipFile(target) as archive:
        return set(archive.namelist())


def test_the_code_travels_without_runs_data_environments_and_secrets(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    code = [
        "launch.py",
        "actors/actor.py",
        "driver/embedded/workers/template.py",
        "my_module.py",
        "monitoring/alerts.yml",
    ]
    rest = ["runs/a/config.json", "results/x.txt", ".venv/bin/python", "myenv/pyvenv.cfg", ".env",
            ".git/HEAD", "docker/secrets/ray_auth_token", "data/rows.parquet", "net.pth", "docs/a.png"]  # fmt: skip
    for name in [*code, *rest]:
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("something")
    names = packed(tmp_path, tree)
    assert {name for name in code if name not in names} == set()
    assert {name for name in rest if name in names} == set()


def test_the_packages_of_this_tree_are_there_and_small(tmp_path: Path) -> None:
    names = packed(tmp_path)
    assert {"launch.py", "actors/actor.py", "learner/learner.py", "replay_server/server.py"} <= names
    assert (tmp_path / "package.zip").stat().st_size < 2_000_000


def test_files_of_the_user_that_take_a_modules_name_do_not_travel(tmp_path: Path) -> None:
    """On a node the tree is searched before Python's own modules."""
    tree = tmp_path / "tree"
    for name in ("queue.py", "numpy/__init__.py", "numpy/core.py", "my_env.py", "learner/__init__.py", "a/queue.py"):
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("something")
    names = {name for name in packed(tmp_path, tree) if name.endswith(".py")}
    assert names == {"my_env.py", "learner/__init__.py", "a/queue.py"}


@pytest.mark.parametrize("is_package", [True, False])
def test_an_environments_module_travels_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_package: bool
) -> None:
    module = tmp_path / ("somewhere/__init__.py" if is_package else "somewhere.py")
    module.parent.mkdir(exist_ok=True)
    module.write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    expected = tmp_path / "somewhere" if is_package else module
    assert runtime_env("somewhere:Env-v0")["py_modules"] == [str(expected)]
    assert runtime_env("CartPole-v1", wrapper="somewhere:wrap")["py_modules"] == [str(expected)]
    assert runtime_env("somewhere:Env-v0", wrapper="somewhere:wrap")["py_modules"] == [str(expected)]


@pytest.mark.parametrize("env", ["CartPole-v1", "gymnasium:CartPole-v1", "actors:Env-v0", "json:Env-v0"])
def test_what_is_installed_or_in_the_tree_is_not_sent_twice(env: str) -> None:
    assert "py_modules" not in runtime_env(env)  # Ray fails on an empty list


def test_a_submitted_job_has_brought_its_code_already(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_submitted_job()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert is_submitted_job()
    assert "working_dir" not in runtime_env("CartPole-v1")
