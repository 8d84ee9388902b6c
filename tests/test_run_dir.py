"""Folders of new runs: nobody shares one, and nothing is left where there is no run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from common.config import BadInput
from driver.reporting.run_dir import CLAIM, claim, new_run_dir, remove_unused, shown
from driver.signals import StopSignals


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths: list[Path] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait(timeout=20)
        with new_run_dir(None, "my_module:Env/Odd name-v0", seed=7, signals=StopSignals()) as path:
            paths.append(path)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(set(paths)) == 8
    assert all(path.parent == tmp_path / "runs" and "my_module-Env-Odd-name-v0-7" in path.name for path in paths)


def test_of_two_runs_that_are_given_one_folder_the_second_is_refused(tmp_path: Path) -> None:
    with (
        new_run_dir(str(tmp_path / "run"), "CartPole-v1", 0, StopSignals()) as path,
        pytest.raises(BadInput, match="another run has it"),
    ):
        claim(path)
    assert path == tmp_path / "run"


def test_what_is_in_a_folder_keeps_runs_out_and_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    with pytest.raises(BadInput, match="is not empty"):
        claim(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["precious"]


def test_a_run_that_is_none_leaves_no_folder_and_of_its_parents_only_those_that_were_there(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match="too little"),
        new_run_dir(str(tmp_path / "a" / "b" / "c"), "CartPole-v1", 0, StopSignals()),
    ):
        raise BadInput("too little of something")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / CLAIM).touch()
    (tmp_path / "mine" / "somebody else's").touch()
    remove_unused(tmp_path / "mine", [tmp_path / "mine"])
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["somebody else's"]


def test_a_folder_is_where_it_was_meant_to_be_though_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with new_run_dir("run", "CartPole-v1", 0, StopSignals()) as path:
        assert shown(path) == Path("run")
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert path == tmp_path / "run"
        assert shown(path) == path
        assert (path / CLAIM).exists()
    with new_run_dir("~/at-home", "CartPole-v1", 0, StopSignals()) as path:
        assert path == tmp_path / "at-home"


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"^--run-dir \S+: (is a file|cannot be written)"):
        claim(tmp_path / name)


def test_a_file_in_the_place_of_the_runs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").touch()
    with pytest.raises(BadInput, match="runs: is a file"), new_run_dir(None, "CartPole-v1", 0, StopSignals()):
        pass
