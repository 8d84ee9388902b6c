"""The command line, made by tyro from the config tree. `--name value`, before or after a subcommand's name."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, subcommand

from common.config import (
    ActorConfig,
    BadInput,
    Config,
    EvaluatorConfig,
    LearnerConfig,
    NetworkConfig,
    PlacementConfig,
    ReplayConfig,
    RunConfig,
)
from driver.settings_file import SettingsFile, read_settings

COMPARE_ENV_STEPS = 100_000


@dataclass(frozen=True)
class Train:
    """Train until solved or until a limit; the default."""


@dataclass(frozen=True)
class Plot:
    """Draw the learning curve of a run, or median and range of several."""

    runs: Positional[tuple[str, ...]]
    """Run folders."""
    x: Literal["episodes", "env-steps"] = "episodes"
    """Horizontal axis."""
    output: str | None = None
    """PNG file [learning_curve.png in the run, or plot.png here for several]."""


@dataclass(frozen=True)
class Evaluate:
    """Play greedy episodes of a saved network; --seed draws their start states."""

    run: Positional[str]
    """Run folder."""
    episodes: int = 100
    """Episodes to play."""
    video: str | None = None
    """Folder for a video of the first episode."""


@dataclass(frozen=True)
class Compare:
    """Train several networks on the same number of environment steps and draw them on one chart."""

    networks: tuple[str, ...] = ("64", "256", "64x64", "256x256")
    """Hidden layers of each, such as 64x64."""
    seeds: int = 3
    """Runs of each network: seeds --seed, --seed + 1, ..."""


@dataclass(frozen=True)
class Status:
    """Show running or finished runs, from another terminal; a running one as of a few seconds ago."""

    runs: Positional[tuple[str, ...]] = ()
    """Run folders [the newest under runs/]."""
    follow: bool = False
    """Keep showing them until they end."""


# With the sections of Config, because a role that unpickles its section should not have to import tyro.
@dataclass(frozen=True)
class Command:
    """Distributed DQN on Ray: actors play, a replay server keeps the transitions, a learner learns."""

    run: Annotated[RunConfig, tyro.conf.arg(name="")]
    actor: Annotated[ActorConfig, tyro.conf.arg(name="")]
    network: Annotated[NetworkConfig, tyro.conf.arg(name="")]
    learner: Annotated[LearnerConfig, tyro.conf.arg(name="")]
    replay: Annotated[ReplayConfig, tyro.conf.arg(name="")]
    evaluator: Annotated[EvaluatorConfig, tyro.conf.arg(name="")]
    placement: Annotated[PlacementConfig, tyro.conf.arg(name="")]
    settings_file: Annotated[str | None, tyro.conf.arg(name="config")] = None
    """TOML or JSON file of settings, or a run's config.json; the command line wins."""
    command: (
        Annotated[Train, subcommand("train")]
        | Annotated[Plot, subcommand("plot")]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Compare, subcommand("compare")]
        | Annotated[Status, subcommand("status")]
    ) = field(default_factory=Train)

    @property
    def config(self) -> Config:
        """The sections together. Raises BadInput where they do not fit each other."""
        return Config(**_sections(self))


def parse(arguments: Sequence[str]) -> Command:
    """The command asked for. Exits with 2 and a message on unknown or malformed options. Raises BadInput."""
    # tyro would take the last without a word
    if len(_given(arguments, "--env-args")) > 1:
        raise BadInput("--env-args: given twice; name all arguments after one, such as --env-args a=1 b=2")
    files = _given(arguments, "--config")
    if len(files) > 1:
        raise BadInput("--config: given twice; put all settings into one file")
    file = read_settings(files[0]) if files and files[0] is not None else SettingsFile("", {})
    try:
        command = _parse(arguments, file.over(Config()))
        if isinstance(command.command, Compare):  # same options, other defaults
            replay = ReplayConfig(max_env_steps=COMPARE_ENV_STEPS)
            defaults = dataclasses.replace(Config(), replay=replay, evaluator=EvaluatorConfig(stop_when_solved=False))
            command = _parse(arguments, file.over(defaults))
        _ = command.config  # refuses sections that do not fit each other
    except BadInput as error:
        raise BadInput(_whose(str(error), file, arguments)) from None
    if isinstance(command.command, Plot) and not command.command.runs:
        raise BadInput("no run folder given; name one or more, such as runs/20260101-120000-CartPole-v1-0")
    if isinstance(command.command, Evaluate) and command.command.episodes < 1:
        raise BadInput(f"--episodes {command.command.episodes}: must be a whole number of at least 1")
    return command


def _given(arguments: Sequence[str], option: str) -> list[str | None]:
    """What follows each appearance of the option; None where nothing does."""
    found: list[str | None] = []
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        name, equals, value = argument.partition("=")
        if name.replace("_", "-") == option:
            found.append(value if equals else following)
    return found


def _whose(refusal: str, file: SettingsFile, arguments: Sequence[str]) -> str:
    """The refusal of a setting, after the name of the file where it stands there and not on the command line."""
    setting = refusal.partition(" ")[0]
    name = setting.removeprefix("--").replace("-", "_")
    is_files = name in file.values and not _given(arguments, setting)
    return f"--config {file.name}: {refusal.removeprefix('--')}" if is_files else refusal


def _parse(arguments: Sequence[str], defaults: Config) -> Command:
    command, unknown = tyro.cli(
        Command,
        prog="launch.py",
        args=list(arguments),
        default=Command(**_sections(defaults)),
        config=(tyro.conf.CascadeSubcommandArgs, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
        return_unknown_args=True,
    )
    if unknown:
        raise BadInput(_about_unknown(unknown[0]))
    return command


def _sections(of: Config | Command) -> dict[str, Any]:
    return {section.name: getattr(of, section.name) for section in dataclasses.fields(Config)}


def _options(section: Any) -> list[str]:
    return [
        f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(section)
        if not str(field.type).startswith("Positional")
    ]


def _about_unknown(argument: str) -> str:
    name = argument.split("=", maxsplit=1)[0].replace("_", "-")
    subcommands = (Plot, Evaluate, Compare, Status)
    for other in subcommands:
        if name in _options(other):
            return f"{argument}: belongs to another command; see launch.py {other.__name__.lower()} --help"
    sections = [*typing.get_type_hints(Config).values(), *subcommands]
    known = ["--config", *itertools.chain.from_iterable(map(_options, sections))]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    nearest = f"the nearest known option is {near[0]}" if near else "launch.py --help lists what is known"
    return f"{argument}: unknown; {nearest}"
