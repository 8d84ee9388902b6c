"""What can be checked of a run before it starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fakes import environment_spec, random_arrays
from run_folders import change_config, write_network

from common.config import BadInput, Config, NetworkConfig, ReplayConfig, RunConfig
from common.params import layer_shapes
from common.run_files import CONFIG
from driver.planning import make_plan

CARTPOLE = environment_spec("CartPole-v1", 4, 2)


def plan_from(run: Path, *hidden: int) -> None:
    settings = RunConfig(initial_params=str(run))
    make_plan(Config(run=settings, network=NetworkConfig(hidden=hidden)), CARTPOLE, embedded=False)


@pytest.mark.parametrize("hidden", [(16,), ()])
def test_a_network_of_other_hidden_layers_is_refused_with_the_option_that_fits(
    tmp_path: Path, hidden: tuple[int, ...]
) -> None:
    run = write_network(tmp_path / "run", random_arrays(layer_shapes(4, hidden, 2), seed=1))
    sizes = "-".join(str(size) for size in (4, *hidden, 2))
    with pytest.raises(BadInput, match=f"have the arrays {sizes}, but this run needs 4-8-8-2; use --hidden") as refusal:
        plan_from(run, 8, 8)
    advice = re.search(r"use --hidden((?: \d+)*)$", str(refusal.value))
    assert advice is not None
    plan_from(run, *(int(size) for size in advice[1].split()))  # it works


@pytest.mark.parametrize(("size", "actions"), [(8, 4), (8, 2), (4, 4)])
def test_a_network_of_another_environment_is_refused_by_both_sizes_and_its_name(
    tmp_path: Path, size: int, actions: int
) -> None:
    run = write_network(tmp_path / "run", random_arrays(layer_shapes(size, (8, 8), actions), seed=1), "LunarLander-v3")
    with pytest.raises(BadInput) as refusal:
        plan_from(run, 8, 8)
    assert str(refusal.value) == (
        f"--initial-params {run}: its network takes {size} numbers and knows {actions} actions, CartPole-v1 gives 4 "
        "and has 2; it was trained on another environment, LunarLander-v3; name a run on this one"
    )


@pytest.mark.parametrize(
    ("setting", "had"),
    [
        ({"env_wrapper": "my_wrappers:flat"}, "its run had --env-wrapper my_wrappers:flat"),
        ({"env_args": ["size=3"]}, "its run had --env-args size=3"),
        (
            {"env_args": ["size=3"], "env_wrapper": "my_wrappers:flat"},
            "its run had --env-args size=3 and --env-wrapper my_wrappers:flat",
        ),
    ],
)
def test_a_network_of_the_environment_made_otherwise_is_refused_with_the_options_of_its_run(
    tmp_path: Path, setting: dict[str, Any], had: str
) -> None:
    run = write_network(tmp_path / "run", random_arrays(layer_shapes(8, (8, 8), 2), seed=1))
    for name, value in setting.items():
        change_config(run, "settings", name, value)
    with pytest.raises(BadInput, match=f"; {had}$"):
        plan_from(run, 8, 8)


def test_without_a_config_beside_it_the_other_environment_has_no_name(tmp_path: Path) -> None:
    run = write_network(tmp_path / "run", random_arrays(layer_shapes(8, (), 4), seed=1))
    (run / CONFIG).unlink()
    with pytest.raises(BadInput, match="and has 2; it was trained on another environment; name a run on this one"):
        plan_from(run)


def test_a_tilde_in_the_run_to_go_on_from_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match=f"--initial-params {tmp_path}/nowhere: no q_network.pth there"):
        plan_from(Path("~/nowhere"))


@pytest.mark.parametrize(("asked", "least", "most"), [(None, 5_000, 15_000), (4_000, 4_000, 4_000)])
def test_only_a_ring_that_nobody_asked_for_is_made_to_fit(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, least: int, most: int
) -> None:
    monkeypatch.setattr("driver.planning.available_memory", lambda: 24_000 * 1024**2)
    frames = environment_spec("frames", 210 * 160 * 3, 6)
    plan = make_plan(Config(replay=ReplayConfig(replay_capacity_transitions=asked)), frames, embedded=True)
    assert least <= plan.config.replay.capacity_transitions <= most
    assert ("replay_capacity_transitions" in plan.filled_in) == (asked is None)
