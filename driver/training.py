"""One training run: plan it, give it a Ray session and a folder, supervise it, leave the files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from common import run_files
from common.config import BadInput, Config
from common.params import layer_shapes
from common.run_files import TIMELINE
from driver.clock import process_age_seconds
from driver.cluster.code_for_nodes import is_submitted_job
from driver.cluster.placement import Placement
from driver.cluster.watch import CLUSTER
from driver.opening import open_session
from driver.planning import Plan, make_plan
from driver.probe.process import Probe
from driver.ray_environment import cluster_address
from driver.reporting.display import Display
from driver.reporting.profile import print_start, print_time_use
from driver.reporting.ray_metrics import RayMetrics
from driver.reporting.reserve import Reserve
from driver.reporting.run_dir import CLAIM, claim, new_run_dir, shown
from driver.reporting.run_folder import RunFolder
from driver.reporting.timeline import draw_timeline
from driver.resources import word_on_rows
from driver.session import RaySession
from driver.signals import StopSignals
from driver.summary import closing_lines, missing_line, summarize_run
from driver.supervision.outcome import Outcome
from driver.supervision.supervisor import Supervisor
from driver.supervision.topology import Topology

if TYPE_CHECKING:
    from driver.cluster.head import Head


_MOMENT_SECONDS = 0.1
_FILE_BYTES = 16 * 1024  # of a file beside its numbers, and of the summary

BuildTopology = Callable[[Plan, str, Placement], Topology]


def train(config: Config, build_topology: BuildTopology, probe: Probe, signals: StopSignals) -> int:
    """The whole of `launch.py train`. Returns the exit code. Raises BadInput before anything has started."""
    run = config.run
    with new_run_dir(run.run_dir, run.env, run.seed, signals) as path:
        plan = make_plan(config, probe.described(), embedded=_is_embedded(config))
        hold_room(path, plan)
        display = Display(plan.config, plan.solved_return)
        with _session(plan, display, probe, signals) as (ray_session, place):

            def build(plan: Plan, namespace: str) -> Topology:
                return build_topology(plan, namespace, place)

            summary = run_once(plan, path, display, signals, build, process_age_seconds, ray_session.head)
    return exit_code(summary["stopped_by"], bool(summary["missing_files"]))


def compare(
    config: Config,
    networks: Sequence[str],
    seeds: int,
    build_topology: BuildTopology,
    probe: Probe,
    signals: StopSignals,
) -> int:
    """The whole of `launch.py compare`: its runs one after the other in one Ray session. Returns the exit code."""
    from analysis import compare as comparison

    run = config.run
    with new_run_dir(run.run_dir, run.env, run.seed, signals, kind="compare-") as path:
        entries = comparison.plan_entries(config, networks, seeds, path)
        environment = probe.described()
        plans = {entry.path: make_plan(entry.config, environment, _is_embedded(config)) for entry in entries}
        first = plans[entries[0].path]
        display = Display(config, first.solved_return)
        summaries: list[dict[str, Any]] = []
        with _session(first, display, probe, signals) as (ray_session, place):

            def build(plan: Plan, namespace: str) -> Topology:
                return build_topology(plan, namespace, place)

            def train_once(config: Config, run_path: Path) -> dict[str, Any]:
                claim(run_path)
                began = time.monotonic()

                def seconds() -> float:
                    return time.monotonic() - began

                summaries.append(
                    run_once(plans[run_path], run_path, display, signals, build, seconds, ray_session.head)
                )
                return summaries[-1]

            rows = comparison.compare(entries, path, train_once, display.say)
        with suppress(OSError):
            (path / CLAIM).unlink()
    comparison.print_table(rows, display.console)
    for what, name in (("table", comparison.TABLE), ("picture", comparison.CHART)):
        if (path / name).exists():
            display.say(f"{what}: {shown(path) / name}")
    return exit_code(summaries[-1]["stopped_by"], any(summary["missing_files"] for summary in summaries))


def run_once(
    plan: Plan,
    path: Path,
    display: Display,
    signals: StopSignals,
    build: Callable[[Plan, str], Topology],
    seconds: Callable[[], float],
    head: Head | None = None,
) -> dict[str, Any]:
    """One run inside a Ray session, into an empty folder. Returns its summary, errors included.

    `build` gets the plan and Ray's namespace for the run. `seconds`: since the start that seconds_to_solve counts from.
    `head`: of the cluster, if this is one.
    """

    def warn(line: str) -> None:
        display.say(line, style="yellow")

    with closing(RunFolder(path, plan.config.run.tensorboard, warn, _reserve_bytes(plan))) as folder:
        folder.write_config(plan.config, plan.environment, plan.solved_return, plan.filled_in)
        display.say(f"run folder: {shown(path)}")
        if is_submitted_job() and Path.cwd() in path.parents:
            display.say(
                "it lies in the submitted job's copy of the code, which Ray deletes later; to keep it, give "
                "--run-dir an absolute path",
                style="yellow",
            )
        with display:
            display.starting("creating the Ray actors")
            topology, metrics = build(plan, path.name), RayMetrics(path.name)
            supervisor = Supervisor(
                plan.config, topology, folder, display, metrics, signals, seconds, head, plan.solved_return
            )
            signals.opened()
            outcome = supervisor.run()
        return _write_end(plan, folder, display, outcome, seconds)


def exit_code(stopped_by: str, files_are_missing: bool) -> int:
    """0 solved or a limit reached, 1 error or a missing file, 130 and 143 for the signals."""
    return 1 if files_are_missing else {"error": 1, "interrupted": 130, "terminated": 143}.get(stopped_by, 0)


def hold_room(path: Path, plan: Plan) -> None:
    """For the last files of a run. Raises BadInput where there is none."""
    try:
        Reserve(path / CLAIM, _reserve_bytes(plan)).hold()
    except OSError as error:
        raise BadInput(
            f"--run-dir {path}: has no room even for the networks ({error.strerror}); name a folder on another disk"
        ) from None


def _reserve_bytes(plan: Plan) -> int:
    """Both networks, each written beside the one before it, and the summary."""
    shapes = layer_shapes(plan.environment.observation_size, plan.config.network.hidden, plan.environment.action_count)
    network = sum(math.prod(shape) for shape in shapes.values()) * np.dtype(np.float32).itemsize
    return 3 * (network + _FILE_BYTES) + _FILE_BYTES


@contextmanager
def _session(
    plan: Plan, display: Display, probe: Probe, signals: StopSignals
) -> Iterator[tuple[RaySession, Placement]]:
    """A Ray session with our signal handlers, for an environment that has been tried."""
    word = word_on_rows(plan.config, plan.environment)
    if word is not None:
        display.say(word, style="yellow")
    tried = probe.tried(_MOMENT_SECONDS)  # most are there by now, and what cannot work need not start anything
    ray_session, place = open_session(plan, display, signals)
    try:
        tried = tried or probe.tried()
        assert tried is not None
        for line in tried.complaints:
            display.say(line, style="yellow")
        display.hear("", tried.heard)
        yield ray_session, place
    finally:
        ray_session.close()


def _write_end(
    plan: Plan, folder: RunFolder, display: Display, outcome: Outcome, seconds: Callable[[], float]
) -> dict[str, Any]:
    """Writes what the run leaves, the most precious first, and says so."""
    summary = summarize_run(plan.config, outcome, seconds())
    if outcome.failure:
        display.say(f"error in the {outcome.failure.role}: {outcome.failure.text}", style="red")
    folder.write_summary(summary)
    missing = folder.finish()
    if missing:
        summary["missing_files"] = sorted(missing)
        folder.write_summary(summary)
    _draw(folder.path, display)
    if plan.config.run.timeline and not (outcome.failure and outcome.failure.role == CLUSTER):  # Ray would wait for it
        folder.write_extra(TIMELINE, lambda: draw_timeline(folder.path, began=time.time() - seconds()))
    for line in closing_lines(summary, folder.path, plan.environment, plan.solved_return):
        display.say(line)
    if missing:
        display.say(missing_line(missing, folder.path), style="red")
    if plan.config.run.profile:
        print_start(outcome.ready_seconds, outcome.first_learner_step_seconds, display.console)
        if outcome.progress is not None:
            print_time_use(outcome.progress.time_use, display.console)
    return summary


def _draw(path: Path, display: Display) -> None:
    from analysis.figures import try_to_draw  # here, because a start should not wait for it
    from analysis.plot import draw_learning_curve

    reason = try_to_draw(lambda: draw_learning_curve(path, path / run_files.CURVE))
    if reason is not None:
        display.say(f"the picture could not be drawn ({reason})", style="yellow")


def _is_embedded(config: Config) -> bool:
    return cluster_address(config.run.address) is None
