"""Greedy episodes of a saved network, and a video of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, TextColumn

from actors.copies import Copies
from actors.greedy import Played, StepLimit, greedy_episodes
from actors.policy import QFunction
from analysis.saved_run import misfit, one_line, read_config, read_network, read_table
from common.config import BadInput
from common.env_args import arguments, copies, is_wrapper
from common.environment import VectorEnvironment, probe
from common.params import describe
from common.return_text import return_text, return_texts
from common.run_files import CONFIG, EPISODES
from common.seeding import environment_seeds, seed_sequence
from common.statistics import summarize
from common.types import EnvironmentSpec


def evaluate_run(run: Path, episodes: int, seed: int, video: Path | None, console: Console | None = None) -> None:
    """`launch.py evaluate`: prints mean, spread and 95 % interval. Raises BadInput on a missing or damaged run.

    `console`: where a terminal sees how far it is; standard error, so that the figures alone go into a file.
    """
    config = read_config(run, "evaluate")
    args, index = _arguments(run, config["settings"])
    wrapper = _wrapper(run, config["settings"])
    arrays = read_network(run, "evaluate")
    try:
        environment = probe(config["settings"]["env"], args, index, wrapper)
    except BadInput as error:
        raise BadInput(f"evaluate {run}: the environment that its {CONFIG} names cannot be made: {error}") from None
    if (wrong := misfit(arrays, environment, trained_on=environment.id)) is not None:
        raise BadInput(f"evaluate {run}: {wrong}")
    q_function = QFunction(arrays)
    limit = StepLimit(environment.max_episode_steps, _longest_episode(run))
    recorded = None
    if video is not None:  # first, because it can fail
        from analysis.video import record  # here, because only a video needs what it imports

        start = environment_seeds(seed_sequence(seed, "evaluate", index=1), 1)[0]
        recorded = record(q_function, environment, index, start, video, limit)
    played = play(q_function, environment, index, episodes, seed, limit, console or Console(stderr=True))
    print(f"{environment.id}, network {describe({name: array.shape for name, array in arrays.items()})}, from {run}")
    print(f"{episodes} greedy episode{'s' if episodes > 1 else ''}, seed {seed}")
    for line in _lines(played, config["environment"]["solved_return"]):
        print(line)
    if recorded is not None:
        path, unended = recorded
        print(f"video: {path}" + (f", up to step {unended:,} of an episode that did not end" if unended else ""))


def _arguments(run: Path, settings: dict[str, Any]) -> tuple[tuple[str, ...], int]:
    """What its environment was made with, and the number of the first copy here. Raises BadInput on damage."""
    args = settings.get("env_args", [])  # runs of before there were any have none
    try:
        if not isinstance(args, list) or not all(isinstance(setting, str) for setting in args):
            raise ValueError(f"env_args is {args!r}")
        arguments(args, index=0)
        index = copies(int(settings.get("actors", 0)) * int(settings.get("envs_per_actor", 0))).evaluate
    except (OverflowError, TypeError, ValueError) as error:
        raise BadInput(f"evaluate {run}: its {CONFIG} is damaged ({one_line(error)}); name another run") from None
    return tuple(args), index


def _wrapper(run: Path, settings: dict[str, Any]) -> str | None:
    """What its copies were wrapped by. Raises BadInput on damage."""
    wrapper = settings.get("env_wrapper")  # runs of before there was one have none
    if wrapper is not None and not (isinstance(wrapper, str) and is_wrapper(wrapper)):
        reason = one_line(ValueError(f"env_wrapper is {wrapper!r}"))
        raise BadInput(f"evaluate {run}: its {CONFIG} is damaged ({reason}); name another run")
    return wrapper


def play(
    q_function: QFunction,
    environment: EnvironmentSpec,
    first_index: int,
    episodes: int,
    seed: int,
    limit: StepLimit,
    console: Console,
) -> Played:
    """So many greedy episodes on copies from number `first_index` on; the seed's own stream draws all start states.

    A terminal sees how far it is.
    """
    start = int(np.random.default_rng(seed_sequence(seed, "evaluate")).integers(2**63))
    streams = seed_sequence(seed, "evaluate", index=2)
    copies = Copies(lambda count: VectorEnvironment.of(environment, count, first_index, streams))
    columns = (*Progress.get_default_columns(), TextColumn("step {task.fields[env_steps]:,}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("episodes", total=episodes, env_steps=0)

        def told(through: int, env_steps: int) -> None:
            """Ends alone say nothing for long where all episodes are about as long."""
            progress.update(task, advance=through, env_steps=env_steps)

        played = greedy_episodes(
            q_function,
            copies.for_episodes(episodes),
            episodes,
            start,
            limit,
            told=told,
        )
    copies.close()
    assert played is not None
    if copies.note is not None:
        print(copies.note)
    return played


def _lines(played: Played, solved_return: float | None) -> list[str]:
    """What the episodes came to; one of them alone has no spread."""
    returns = played.returns
    summary = summarize(returns)
    if returns.size == 1:
        lines = [f"return {return_text(summary.mean)}; standard deviation and interval need more than one episode"]
    else:
        mean, std, low, high = return_texts(*summary)
        lowest, median, highest = return_texts(returns.min(), float(np.median(returns)), returns.max())
        lines = [
            f"mean return {mean}, standard deviation {std}, 95 % interval of the mean [{low}, {high}]",
            f"lowest {lowest}, median {median}, highest {highest}",
        ]
    if played.unended:
        lines.append(
            f"{played.unended} of {returns.size} episodes did not end within {played.longest_env_steps:,} steps; they "
            "count with what they reached"
        )
    if solved_return is not None:
        verdict = "at or above" if summary.mean >= solved_return else "below"
        lines.append(f"{verdict} the return that counts as solved, {solved_return:g}")
    return lines


def _longest_episode(run: Path) -> int:
    """In environment steps, of training; 0 where the run's table cannot tell."""
    try:
        lengths = read_table(run, EPISODES, "evaluate", {"length_env_steps": "int64"})["length_env_steps"]
    except BadInput:
        return 0
    return max(lengths.drop_null().to_pylist(), default=0)
