"""One training run: plan it, give it a Ray session and a folder, supervise it, leave the files."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.saved_run import read_network
from common import run_files
from common.config import BadInput, Config, resolve, rows_per_call
from common.environment import probe
from common.params import check_arrays, layer_shapes
from common.types import EnvironmentSpec
from driver import placement, resources, run_folder, session
from driver.clock import process_age_seconds
from driver.code_for_nodes import is_submitted_job
from driver.display import Display
from driver.head_watch import CLUSTER
from driver.placement import Placement
from driver.profile import print_start, print_time_use
from driver.ray_environment import RayDidNotStart, cluster_address
from driver.ray_metrics import RayMetrics
from driver.run_folder import RunFolder
from driver.session import RaySession
from driver.signals import StoppedEarly, StopSignals
from driver.summary import closing_lines, summarize_run
from driver.supervisor import Outcome, Supervisor
from driver.timeline import draw_timeline
from driver.topology import Topology
from driver.workers.handle import entry_program

if TYPE_CHECKING:
    from driver.head import Head


class Plan(NamedTuple):
    """A run that can work: settings as resolved, and what was found out for them."""

    config: Config
    environment: EnvironmentSpec
    rows_per_call: int  # of the learner's sample calls
    solved_return: float | None
    initial_params: dict[str, NDArray[np.float32]] | None


BuildTopology = Callable[[Plan, str, Placement], Topology]


def make_plan(config: Config, embedded: bool) -> Plan:
    """Checks everything that can be checked before anything starts. Raises BadInput."""
    environment = probe(config.run.env)
    config = resolve(config, environment.observation_size)
    if embedded:
        each = resources.FORKED_PROCESS_BYTES if entry_program() else resources.PROCESS_BYTES
        resources.check_memory(config, environment, resources.available_memory(), each)
    solved_return = config.evaluator.solved_return
    return Plan(
        config=config,
        environment=environment,
        rows_per_call=rows_per_call(config, environment.observation_size),
        solved_return=environment.reward_threshold if solved_return is None else solved_return,
        initial_params=_read_initial_params(config, environment),
    )


def start_session(
    config: Config, environment: EnvironmentSpec, display: Display, signals: StopSignals
) -> tuple[RaySession, Placement]:
    """Embedded, or attached where an address is given. Says where, and how to see more. Raises BadInput."""
    address = cluster_address(config.run.address)
    if address is None:
        ray_session = session.start_embedded(placement.cpus(config), config.run.dashboard, config.run.dashboard_port)
    else:
        if config.run.address != address:
            display.say(f"RAY_ADDRESS is set, so this run attaches to {address}")
        ray_session = session.attach(address, config.run.env)
    display.say(ray_session.description)
    if ray_session.token_note:
        display.say(ray_session.token_note, style="yellow")
    if ray_session.dashboard_url:
        token = "it asks for that token" if ray_session.token_note else "if it asks for a token: ray get-auth-token"
        display.say(f"dashboard: {ray_session.dashboard_url} ({token})")
    try:
        return ray_session, _place(config, environment, ray_session.head, signals)
    except (BadInput, StoppedEarly):
        ray_session.close()
        raise


def _place(config: Config, environment: EnvironmentSpec, head: Head | None, signals: StopSignals) -> Placement:
    """Raises BadInput where the nodes have other versions than the driver, or too little room."""
    if head is None:
        placement.check_gpus(config.placement, session.cluster_gpus())
        return Placement(config.placement, core=None)
    from driver.nodes import check_versions  # here, because an embedded run has no other nodes

    nodes = head.nodes()
    home = placement.find_home(config.placement.core_node, nodes, session.own_node())
    if not config.placement.wait_for_resources:
        placement.check_totals(config, nodes, home)
        resources.check_memory(config, environment, session.cluster_memory())
    check_versions(nodes, config.run.ready_seconds, signals)
    return placement.reserve(config, home)


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
    run_folder.create_run_dir(path)
    try:
        ray_session, place = _start_unless_stopped(plan, display, signals)
    except (BadInput, StoppedEarly, RayDidNotStart):
        with suppress(OSError):  # somebody else put something there
            for folder in created:
                folder.rmdir()
        raise
    try:
        yield ray_session, place
    finally:
        ray_session.close()


def _start_unless_stopped(plan: Plan, display: Display, signals: StopSignals) -> tuple[RaySession, Placement]:
    """Raises StoppedEarly where a signal came before Ray was there."""
    try:
        ray_session, place = start_session(plan.config, plan.environment, display, signals)
    except SystemExit:  # raised by the handler of SIGTERM that ray.init installs
        session.leave_ray()
        raise StoppedEarly(signal.SIGTERM) from None
    signals.install_again()
    if signals.received is not None:
        ray_session.close()
        raise StoppedEarly(signals.received)
    return ray_session, place


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


def _read_initial_params(config: Config, environment: EnvironmentSpec) -> dict[str, NDArray[np.float32]] | None:
    if config.run.initial_params is None:
        return None
    arrays = read_network(Path(config.run.initial_params), "--initial-params")
    expected = layer_shapes(environment.observation_size, config.network.hidden, environment.action_count)
    try:
        check_arrays(arrays, expected)
    except ValueError as error:
        raise BadInput(f"--initial-params {config.run.initial_params}: {error}; set --hidden to match") from None
    return arrays
