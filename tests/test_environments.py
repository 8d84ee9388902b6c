"""The table of environments: what is run, what is run again, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import gymnasium
import pytest
from gymnasium import spaces
from launching import ROOT
from stub_build import asked, stub_build

from benchmarks.environments import ENTRIES, Entry, Environments, chosen, make, measure_environments, number
from common.config import BadInput
from driver.settings_file import read_settings

BUILT_IN = [entry for entry in ENTRIES if ":" not in entry.env]


def measured(build: Path, runs: Path, *option: str, seeds: int = 2) -> list[dict[str, object]]:
    settings = Environments(only=("CartPole-v1",), seeds=seeds, option=option, build=build, runs=runs, together=2)
    return measure_environments(settings)


def test_every_seed_is_a_row_with_what_the_saved_network_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "build").mkdir()
    build = stub_build(tmp_path / "build")
    good, bad = measured(build, tmp_path / "runs")
    assert 8 < float(str(good["return"])) < 11  # falls over as quickly as it can
    assert (good["met"], good["best_look"], good["bar_env_steps"], good["stopped_by"]) == (False, 500.0, 20, "solved")
    assert bad["failed"] == "error: --seed 1: is refused"
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| CartPole-v1")]
    assert len(table) == 1
    assert f"| {number(float(str(good['return'])))}, failed |" in table[0]
    assert "| 0 of 2 |" in table[0]
    (first, second) = asked(build)
    assert first[:7] == ["--env", "CartPole-v1", "--seed", first[3], "--no-dashboard", "--max-env-steps", "500000"]
    assert {first[3], second[3]} == {"0", "1"}


def test_what_has_finished_with_the_same_options_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "build").mkdir()
    build = stub_build(tmp_path / "build")
    before = measured(build, tmp_path / "runs")
    again = measured(build, tmp_path / "runs", seeds=3)
    assert again[:2] == before
    assert "(from before, commit 012345678)" in capsys.readouterr().out
    assert sorted(arguments[3] for arguments in asked(build)) == ["0", "1", "1", "2"]  # what failed is tried again
    other = measured(build, tmp_path / "runs", "--n-step=1", seeds=1)
    assert other[0]["run"] == f"{tmp_path}/runs/CartPole-v1/seed-0-again-1"
    assert asked(build)[-1][7] == "--n-step=1"


def test_other_peoples_trouble_with_playing_is_a_row_too(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    build = stub_build(tmp_path / "build")
    (build / "run" / "q_network.pth").write_bytes(b"no network")
    (row,) = measured(build, tmp_path / "runs", seeds=1)
    assert str(row["failed"]).startswith("playing the saved network: ")


def test_unknown_entries_and_builds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^--only LunarLander: no such entry; the nearest is LunarLander-v3, and all"):
        chosen(["CartPole-v1", "LunarLander"])
    with pytest.raises(BadInput, match=r"^--build .*: has no launch.py"):
        measured(tmp_path, tmp_path / "runs")
    (tmp_path / "build").mkdir()
    settings = Environments(only=("CartPole-v1",), build=stub_build(tmp_path / "build"), runs=tmp_path, together=0)
    with pytest.raises(BadInput, match=r"^--together 0: must be"):
        measure_environments(settings)


def test_entries_of_gymnasium_exist_and_no_setting_depends_on_an_environments_name() -> None:
    for entry in BUILT_IN:
        assert gymnasium.spec(entry.env).id == entry.env
        if entry.preset is not None:
            assert read_settings(str(ROOT / "presets" / f"{entry.preset}.toml")).values["env"] == entry.env
    assert {option for entry in ENTRIES for option in entry.options} == {"--no-stop-when-solved"}


def register_late() -> None:
    gymnasium.register("RegisteredLate-v0", entry_point="environments:Mission")


def test_an_environment_is_played_through_its_wrapper_once_it_is_registered() -> None:
    entry = Entry(
        "x", "RegisteredLate-v0", 1, wrapper="environments:without_mission", to_register=f"{__name__}:register_late"
    )
    assert list(cast("spaces.Dict", make(entry).observation_space)) == ["a"]
    assert list(cast("spaces.Dict", make(entry._replace(wrapper=None)).observation_space)) == ["a", "mission"]


@pytest.mark.parametrize(("value", "shown"), [(0.7442, "0.744"), (None, "-")])
def test_a_return_that_there_is_not_is_a_dash(value: float | None, shown: str) -> None:
    assert number(value) == shown
