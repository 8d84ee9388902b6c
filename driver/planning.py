"""A run that can work: what can be checked before anything starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.saved_run import misfit, read_config, read_network
from common.config import BadInput, Config, resolve, rows_per_call
from common.memory import available_memory
from common.params import check_arrays, layer_shapes
from common.paths import user_path
from common.types import EnvironmentSpec
from driver import resources
from driver.embedded.workers.handle import entry_program
from driver.reporting.run_folder import flat_settings


class Plan(NamedTuple):
    """A run that can work: settings as resolved, and what was found out for them."""

    config: Config
    filled_in: tuple[str, ...]  # names of settings that nobody gave and others decide
    environment: EnvironmentSpec
    rows_per_call: int  # of the learner's sample calls
    solved_return: float | None
    initial_params: dict[str, NDArray[np.float32]] | None


def make_plan(config: Config, environment: EnvironmentSpec, embedded: bool) -> Plan:
    """Checks everything that can be checked before anything starts. Raises BadInput."""
    asked, config = config, resolve(config, environment.observation_size)
    if embedded:
        each = resources.FORKED_PROCESS_BYTES if entry_program() else resources.PROCESS_BYTES
        available = available_memory()
        if asked.replay.replay_capacity_transitions is None:
            ring = resources.default_ring(config, environment, available, each)
            config = dataclasses.replace(
                config, replay=dataclasses.replace(config.replay, replay_capacity_transitions=ring)
            )
        resources.check_memory(config, environment, available, each)
    before, after = flat_settings(asked), flat_settings(config)
    solved_return = config.evaluator.solved_return
    return Plan(
        config=config,
        filled_in=tuple(name for name in after if before[name] is None and after[name] is not None),
        environment=environment,
        rows_per_call=rows_per_call(config, environment.observation_size),
        solved_return=environment.reward_threshold if solved_return is None else solved_return,
        initial_params=_read_initial_params(config, environment),
    )


def _read_initial_params(config: Config, environment: EnvironmentSpec) -> dict[str, NDArray[np.float32]] | None:
    if config.run.initial_params is None:
        return None
    run = user_path(config.run.initial_params, "--initial-params")
    arrays = read_network(run, "--initial-params")
    if (wrong := misfit(arrays, environment, trained_on=_trained_on(run))) is not None:
        had = _made_otherwise(run, environment)
        works = f"its run had {' and '.join(had)}" if had else "name a run on this one"
        raise BadInput(f"--initial-params {run}: {wrong}; {works}")
    expected = layer_shapes(environment.observation_size, config.network.hidden, environment.action_count)
    try:
        check_arrays(arrays, expected)
    except ValueError as error:
        sizes = [str(len(array)) for name, array in arrays.items() if name.endswith("bias")][:-1]
        raise BadInput(f"--initial-params {run}: {error}; use {' '.join(['--hidden', *sizes])}") from None
    return arrays


def _made_otherwise(run: Path, environment: EnvironmentSpec) -> list[str]:
    """The options that made a run's copies otherwise than this one's; none where its settings cannot tell."""
    try:
        settings = read_config(run, "--initial-params")["settings"]
    except BadInput:
        settings = {}
    args, wrapper = settings.get("env_args", []), settings.get("env_wrapper")
    args = [str(setting) for setting in args] if isinstance(args, list) else []
    had = [] if args == list(environment.args) else [f"--env-args {' '.join(args) or '(none)'}"]
    return had if wrapper == environment.wrapper else [*had, f"--env-wrapper {wrapper or '(none)'}"]


def _trained_on(run: Path) -> str | None:
    try:
        return str(read_config(run, "--initial-params")["settings"]["env"])
    except BadInput:
        return None
