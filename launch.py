"""Distributed DQN on Ray: the command line, and the topology in data-flow order.

actors --chunks--> replay server --minibatches--> learner --params--> evaluator, and by way of acks the actors
"""

from __future__ import annotations

if __name__ == "__main__":  # before any other import, which may be of a name that a file beside this one has as well
    from common import search_path

    search_path.settle()
    from driver.output import open_closed_streams
    from driver.signals import StopSignals

    open_closed_streams()
    _SIGNALS = StopSignals()
    _SIGNALS.install()

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from common import search_path
from common.config import BadInput, Config
from common.paths import user_path
from driver import ray_environment
from driver.command_line import Compare, Evaluate, Plot, Status, Train, parse
from driver.embedded.workers.handle import worker_template
from driver.output import OutputFailed, finish_output, guard_output, watch_output
from driver.ray_environment import RayDidNotStart
from driver.signals import NOTHING_TO_SAVE, StoppedEarly, StopSignals

if TYPE_CHECKING:
    from driver.cluster.placement import Placement
    from driver.planning import Plan
    from driver.probe.process import Probe
    from driver.supervision.topology import Topology
    from learner.learner import Reader


def build_topology(plan: Plan, namespace: str, place: Placement) -> Topology:
    """Creates replay server and learner, and says how to create the rest; nothing runs yet."""
    import ray

    from actors.actor import Actor
    from actors.copies import Copies
    from actors.evaluator import Evaluator
    from common.env_args import copies
    from common.environment import VectorEnvironment
    from common.params import layer_shapes
    from common.seeding import seed_sequence
    from driver.supervision.topology import LOOKS_GROUP, Topology
    from learner.client import CONTROL_GROUP
    from learner.process import LearnerProcess

    config, environment = plan.config, plan.environment
    seed, timeline, hidden = config.run.seed, config.run.timeline, config.network.hidden
    first_index = copies(config.actor.actors * config.actor.envs_per_actor).evaluator

    def create(role: type, name: str, *groups: str, **options: Any) -> Any:
        # Ray titles a process by its class's name, so that `ps` shows ray::actor-3, and names calls by the qualified
        # one: in a timeline they have no other sign of the actor, elsewhere Ray's pages and metrics count by it.
        qualified = name if timeline else role.__qualname__
        named = type(name, (role,), {"__module__": role.__module__, "__qualname__": qualified})
        remote = ray.remote(concurrency_groups=dict.fromkeys(groups, 1))(named) if groups else ray.remote(named)
        # Events of every call would fill the memory of Ray's GCS by tens of MB a minute.
        return remote.options(name=name, namespace=namespace, enable_task_events=timeline, **options)

    replay, shards, reader = build_replay(plan, create, place)
    learner = create(LearnerProcess, "learner", CONTROL_GROUP, **place.learner()).remote(
        config.learner,
        config.network,
        environment,
        seed_sequence(seed, "learner"),
        replay=reader,
        initial_params=plan.initial_params,
        gpus=config.placement.learner_gpus,
    )

    def create_evaluator() -> Any:
        return create(Evaluator, "evaluator", CONTROL_GROUP, LOOKS_GROUP, **place.evaluator()).remote(
            config.evaluator,
            Copies(
                lambda count: VectorEnvironment.of(
                    environment, count, first_index, seed_sequence(seed, "evaluator", index=1)
                )
            ),
            layer_shapes(environment.observation_size, hidden, environment.action_count),
            seed_sequence(seed, "evaluator"),
            plan.solved_return,
            time_limit=environment.max_episode_steps,
        )

    def create_actor(actor_id: int) -> Any:
        return create(Actor, f"actor-{actor_id}", CONTROL_GROUP, max_restarts=-1, **place.actor()).remote(
            actor_id, config.actor, environment, hidden, seed
        )

    return Topology(replay, shards, learner, create_evaluator, create_actor)


def build_replay(plan: Plan, create: Callable[..., Any], place: Placement) -> tuple[Any, tuple[Any, ...], Reader]:
    """The replay server, or a coordinator and its shards; and what the learner samples with."""
    from common.seeding import seed_sequence
    from replay_server.client import CoordinatorClient, ReplayReader, sharded_reader
    from replay_server.coordinator import Coordinator
    from replay_server.server import ReplayServer
    from replay_server.shard import ReplayShard

    config, size, rows = plan.config.replay, plan.environment.observation_size, plan.rows_per_call
    count = config.replay_shards
    seeds = [seed_sequence(plan.config.run.seed, "replay", index) for index in range(count + 1)]  # the last: reader
    if count == 1:
        server = create(ReplayServer, "replay-0", **place.replay()).remote(config, size, rows, seeds[0])
        return server, (), ReplayReader(server, rows)
    coordinator = create(Coordinator, "replay-coordinator", **place.coordinator()).remote(config, rows)
    shards = tuple(
        create(ReplayShard, f"replay-{shard}", **place.replay(shard)).remote(
            config, size, seeds[shard], CoordinatorClient(coordinator), shard
        )
        for shard in range(count)
    )
    return coordinator, shards, sharded_reader(coordinator, shards, rows, seeds[count])


def main(signals: StopSignals) -> int:
    """Dispatches the subcommands. Returns the exit code. `signals`: installed already."""
    watch_output()
    try:
        _check_working_folder()
        command = parse(sys.argv[1:])
        code = _dispatch(command.config, command.command, signals)
        sys.stdout.flush()
        return code
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RayDidNotStart as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except StoppedEarly as stopped:
        print(NOTHING_TO_SAVE, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:  # a command that starts no run
        print("stopped", file=sys.stderr)
        return 130
    except OutputFailed as error:  # of such a command too
        if str(error):
            print(f"error: the output cannot be written ({error})", file=sys.stderr)
        return 1
    finally:
        finish_output()


def _dispatch(config: Config, command: Train | Plot | Evaluate | Compare | Status, signals: StopSignals) -> int:
    # Imports wait until the command is known: Ray reads its environment variables when it is imported.
    match command:
        case Train():
            return _with_ray(config, signals, lambda probe: _train(config, probe, signals))
        case Compare():
            return _with_ray(config, signals, lambda probe: _compare(config, command, probe, signals))
    signals.uninstall()
    match command:
        case Plot():
            from analysis.plot import plot_runs

            output = None if command.output is None else user_path(command.output, "--output")
            plot_runs([user_path(run, "plot") for run in command.runs], command.x, output)
        case Evaluate():
            from analysis.evaluate import evaluate_run

            video = None if command.video is None else user_path(command.video, "--video")
            evaluate_run(user_path(command.run, "evaluate"), command.episodes, config.run.seed, video)
        case Status():
            from analysis.status import show_status

            show_status([user_path(run, "status") for run in command.runs], command.follow)
    return 0


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        raise BadInput(f"the working folder is gone ({error.strerror}); change to one that exists") from None


def _check_name(option: str, value: str) -> None:
    """Raises BadInput where the file that the user may mean by `module:name` has a name that means another module."""
    module, separator, _ = value.partition(":")
    if separator and (file := search_path.hidden_file(module, os.getcwd())) is not None:
        raise BadInput(
            f"{option} {value}: {module} is a module of this program, of Python or of an installed package, not "
            f"{file}; rename that file"
        )


def _with_ray(config: Config, signals: StopSignals, use: Callable[[Probe], int]) -> int:
    guard_output()
    _check_name("--env", config.run.env)
    _check_name("--env-wrapper", config.run.env_wrapper or "")
    embedded = ray_environment.cluster_address(config.run.address) is None
    ray_environment.prepare(embedded)
    with worker_template() if embedded else nullcontext() as template:
        if template is not None:
            signals.spared.add(template)
        from driver.probe.process import probing  # and then Ray, which its process need not have

        with probing(config, signals) as probe:
            return use(probe)


def _train(config: Config, probe: Probe, signals: StopSignals) -> int:
    from driver.training import train

    return train(config, build_topology, probe, signals)


def _compare(config: Config, command: Compare, probe: Probe, signals: StopSignals) -> int:
    from driver.training import compare

    return compare(config, command.networks, command.seeds, build_topology, probe, signals)


if __name__ == "__main__":
    sys.exit(main(_SIGNALS))
