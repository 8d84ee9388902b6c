"""One training run: plan it, give it a Ray session and a folder, supervise it, leave the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import run_files
from common.config import BadInput, Config
from driver.clock import process_age_seconds
from driver.cluster.code_for_nodes import is_submitted_job
from driver.cluster.placement import Placement
from driver.cluster.watch import CLUSTER
from driver.opening import open_session
from driver.planning import Plan, make_plan
from driver.ray_environment import RayDidNotStart, cluster_address
from driver.reporting import run_folder
from driver.reporting.display import Display
from driver.reporting.profile import print_start, print_time_use
from driver.reporting.ray_metrics import RayMetrics
from driver.reporting.run_folder import RunFolder
from driver.reporting.timeline import draw_timeline
from driver.session import RaySession
from driver.signals import StoppedEarly, StopSignals
from driver.summary import closing_lines, summarize_run
from driver.supervision.outcome import Outcome
from driver.supervision.supervisor import Supervisor
from driver.supervision.topology import Topology

if TYPE_CHECKING:
    from driver.cluster.head import Head


BuildTopology = Callable[[Plan, str, Placement], Topology]


def train(config: Config, build_topology: BuildTopology, signals: StopSignals) -> int:
    """The whole of `launch.py train`. Returns the exit code. Raises BadInput before anything has started."""
    plan = make_plan(config, embedded=_is_embedded(config))
    run = config.run
    path = Path(run.run_dir) if run.run_dir else run_folder.default_run_dir(run.env, run.seed)
    display = Display(plan.config, plan.solved_return)
    with _folder_and_session(path, plan, display, signals) as (ray_session, place):

        def build(plan: Plan, namespace: str) -> Topology:
            return build_topology(plan, namespace, place)

        summary = run_once(plan, path, display, signals, build, process_age_seconds, ray_session.head)
    return exit_code(summary["stopped_by"])


def compare(
    config: Config, networks: Sequence[str], seeds: int, build_topology: BuildTopology, signals: StopSignals
) -> int:
    """The whole of `launch.py compare`: its runs one after the other in one Ray session. Returns the exit code."""
    from analysis import compare as comparison

    run = config.run
    path = Path(run.run_dir) if run.run_dir else run_folder.default_run_dir(run.env, run.seed, kind="compare-")
    entries = comparison.plan_entries(config, networks, seeds, path)
    plans = {entry.path: make_plan(entry.config, embedded=_is_embedded(config)) for entry in entries}
    first = plans[entries[0].path]
    display = Display(config, first.solved_return)
    with _folder_and_session(path, first, display, signals) as (ray_session, place):

        def build(plan: Plan, namespace: str) -> Topology:
            return build_topology(plan, namespace, place)

        def train_once(config: Config, run_path: Path) -> dict[str, Any]:
            run_folder.create_run_dir(run_path)
            began = time.monotonic()

            def seconds() -> float:
                return time.monotonic() - began

            return run_once(plans[run_path], run_path, display, signals, build, seconds, ray_session.head)

        rows = comparison.compare(entries, path, train_once)
    comparison.print_table(rows, display.console)
    display.say(f"table: {path / comparison.TABLE}")
    display.say(f"picture: {path / comparison.CHART}")
    return exit_code(rows[-1]["stopped_by"])


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
    with closing(RunFolder(path, plan.config.run.tensorboard)) as folder:
        folder.write_config(plan.config, plan.environment, plan.solved_return)
        display.say(f"run folder: {path}")
        if is_submitted_job() and not path.is_absolute():
            display.say(
                "it lies in the submitted job's copy of the code, which Ray deletes later; to keep it, give "
                "--run-dir an absolute path",
                style="yellow",
            )
        with display:
            display.starting("creating the Ray actors")
            topology, metrics = build(plan, path.name), RayMetrics(path.name)
            supervisor = Supervisor(plan.config, topology, folder, display, metrics, signals, seconds, head)
            outcome = supervisor.run()
        return _write_end(plan, folder, display, outcome, seconds)


def exit_code(stopped_by: str) -> int:
    """0 solved or a limit reached, 1 error, 130 and 143 for the signals."""
    return {"error": 1, "interrupted": 130, "terminated": 143}.get(stopped_by, 0)


@contextmanager
def _folder_and_session(
    path: Path, plan: Plan, display: Display, signals: StopSignals
) -> Iterator[tuple[RaySession, Placement]]:
    """A new folder and a Ray session with our signal handlers. Leaves no folder behind where there is no run."""
    created = [folder for folder in (path, *path.parents) if not folder.exists()]

    def remove() -> None:
        with suppress(OSError):  # somebody else put something there
            for folder in created:
                folder.rmdir()

    run_folder.create_run_dir(path)
    try:
        ray_session, place = open_session(plan, display, signals, remove)
    except (BadInput, StoppedEarly, RayDidNotStart):
        remove()
        raise
    try:
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
    folder.flush()
    folder.write_summary(summary)
    for name, content in outcome.networks.items():
        folder.write_network(name, content)
    _draw(folder.path)
    if plan.config.run.timeline and not (outcome.failure and outcome.failure.role == CLUSTER):  # Ray would wait for it
        draw_timeline(folder.path, began=time.time() - seconds())
    for line in closing_lines(summary, folder.path, plan.environment, plan.solved_return):
        display.say(line)
    if plan.config.run.profile:
        print_start(outcome.ready_seconds, outcome.first_learner_step_seconds, display.console)
        if outcome.progress is not None:
            print_time_use(outcome.progress.time_use, display.console)
    return summary


def _draw(path: Path) -> None:
    from analysis.plot import draw_learning_curve  # here, because matplotlib takes a while

    draw_learning_curve(path, path / run_files.CURVE)


def _is_embedded(config: Config) -> bool:
    return cluster_address(config.run.address) is None
