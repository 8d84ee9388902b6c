"""Placement: which resources each role asks of Ray, and on which node of a cluster it lives.

The core (learner, evaluator, replay server) is one placement group, so that batches pass through one machine's memory;
the actors go wherever there is room, as evenly as Ray can.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from common.config import BadInput, Config, PlacementConfig

if TYPE_CHECKING:
    from driver.cluster.head import Node

_LEARNER, _EVALUATOR, _REPLAY = 0, 1, 2  # bundles of the core; the replay servers' are the last
_NODE_ID_LABEL = "ray.io/node-id"  # that Ray gives every node
_FREE_SECONDS = 5.0  # in which what a run before this one used is given back


class Placement:
    """Options for the Ray actors of a run."""

    def __init__(self, config: PlacementConfig, core: PlacementGroup | None) -> None:
        """Without a core every role goes where Ray likes, as on a single machine."""
        self._config = config
        self._core = core

    def learner(self) -> dict[str, Any]:
        """With its GPUs."""
        return self._in_core(_LEARNER, self._config.learner_cpus, self._config.learner_gpus)

    def evaluator(self) -> dict[str, Any]:
        """In the core."""
        return self._in_core(_EVALUATOR, self._config.evaluator_cpus)

    def replay(self, shard: int = 0) -> dict[str, Any]:
        """In the core."""
        return self._in_core(_REPLAY + shard, self._config.replay_cpus)

    def coordinator(self) -> dict[str, Any]:
        """Beside the first replay server: it only counts."""
        return self._in_core(_REPLAY, cpus=0)

    def actor(self) -> dict[str, Any]:
        """Spread over the nodes."""
        options: dict[str, Any] = {"num_cpus": self._config.actor_cpus}
        return options if self._core is None else {**options, "scheduling_strategy": "SPREAD"}

    def _in_core(self, bundle: int, cpus: float, gpus: float = 0.0) -> dict[str, Any]:
        options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus}
        if self._core is None:
            return options
        return {**options, "scheduling_strategy": PlacementGroupSchedulingStrategy(self._core, bundle)}


def core_bundles(config: Config) -> list[dict[str, float]]:
    """What learner, evaluator and replay servers ask for, in this order."""
    asked = config.placement
    return [
        {"CPU": asked.learner_cpus, "GPU": asked.learner_gpus},
        {"CPU": asked.evaluator_cpus},
        *({"CPU": asked.replay_cpus} for _ in range(config.replay.replay_shards)),
    ]


def cpus(config: Config) -> float:
    """Logical CPUs of all roles."""
    return sum(bundle["CPU"] for bundle in core_bundles(config)) + config.actor.actors * config.placement.actor_cpus


def reserve(config: Config, home: Node | None) -> Placement:
    """The core's place on a cluster. `home`: from `find_home`.

    Raises BadInput where others use what this run needs, unless it may wait for it.
    """
    wanted = config.placement
    bundles = [{name: amount for name, amount in bundle.items() if amount} for bundle in core_bundles(config)]
    # Ray refuses an empty bundle; next to nothing is the same.
    bundles = [bundle or {"CPU": 0.001} for bundle in bundles]
    core = placement_group(
        bundles,
        strategy="SPREAD" if wanted.core_node == "spread" else "STRICT_PACK",
        bundle_label_selector=[{_NODE_ID_LABEL: home.id}] * len(bundles) if home else None,
    )
    if not wanted.wait_for_resources:
        _check_free(config, core)
    return Placement(wanted, core)


def check_totals(config: Config, nodes: Sequence[Node], home: Node | None) -> None:
    """Raises BadInput where even an idle cluster lacks something. `home`: from `find_home`."""
    bundles = core_bundles(config)
    need = {name: sum(bundle.get(name, 0.0) for bundle in bundles) for name in ("CPU", "GPU")}
    together = config.placement.core_node != "spread"
    candidates = [home] if home else list(nodes)
    for name, option in (("GPU", "--learner-gpus"), ("CPU", "--core-node")):
        has = [node.resources.get(name, 0.0) for node in candidates]
        most = max(has, default=0.0) if together else sum(has)
        if most < need[name]:
            value = f"{config.placement.learner_gpus:g}" if name == "GPU" else config.placement.core_node
            where = f"node {home} has" if home else "no node has more than" if together else "the cluster has"
            raise BadInput(
                f"{option} {value}: learner, evaluator and replay server need {need[name]:g} {name}s and {where} "
                f"{most:g}; start it with more (ray start --num-{name.lower()}s), name another --core-node (driver, "
                "any, spread, or an address), or wait with --wait-for-resources"
            )
    # Where the core's node is Ray's choice, the actors have what it leaves somewhere.
    left = {node.id: node.resources.get("CPU", 0.0) for node in nodes}
    core_node = home or max(nodes, key=lambda node: left[node.id])
    left[core_node.id] -= need["CPU"]
    each = config.placement.actor_cpus
    fits = sum(int(max(0.0, free) / each) for free in left.values()) if each else config.actor.actors
    if fits < config.actor.actors:
        raise BadInput(_too_few(config, fits, sum(node.resources.get("CPU", 0.0) for node in nodes), "has"))


def check_gpus(config: PlacementConfig, has: float) -> None:
    """Raises BadInput where a machine that `has` so many is to be all there is: the learner would wait for ever."""
    if config.learner_gpus > has:
        raise BadInput(
            f"--learner-gpus {config.learner_gpus:g}: Ray finds {has:g} GPUs on this machine; leave it out to learn on "
            "the CPU, or name a cluster that has one with --address"
        )


def find_home(core_node: str, nodes: Sequence[Node], driver_node: str) -> Node | None:
    """The core's node; None where that is Ray's choice. `driver_node`: its id. Raises BadInput on an unknown one."""
    if core_node in ("any", "spread"):
        return None
    wanted = (driver_node,) if core_node == "driver" else (core_node,)
    for node in nodes:
        if node.id in wanted or node.address in wanted or node.name in wanted:
            return node
    known = ", ".join(map(str, nodes))
    raise BadInput(f"--core-node {core_node}: no such node; must be driver, any, spread, or an address of: {known}")


def _check_free(config: Config, core: PlacementGroup) -> None:
    """Raises BadInput where others use what this run needs."""
    deadline = time.monotonic() + _FREE_SECONDS
    if not core.wait(timeout_seconds=_FREE_SECONDS):
        raise BadInput(
            f"--core-node {config.placement.core_node}: others use the CPUs or GPUs there that learner, evaluator and "
            "replay server need; name another (driver, any, spread, or an address), or wait with --wait-for-resources"
        )
    each = config.placement.actor_cpus
    while each:
        free = ray.available_resources().get("CPU", 0.0)
        if int(free / each) >= config.actor.actors:
            return
        if time.monotonic() > deadline:
            raise BadInput(_too_few(config, int(free / each), free, "has free"))
        time.sleep(0.1)


def _too_few(config: Config, fits: int, has: float, verb: str) -> str:
    least = cpus(config) - (config.actor.actors - 1) * config.placement.actor_cpus
    what = f"at most {fits} actors would fit" if fits >= 1 else f"it needs at least {least:g}"
    return (
        f"--actors {config.actor.actors}: all roles need {cpus(config):g} CPUs and the cluster {verb} {has:g}; {what}; "
        "or wait with --wait-for-resources"
    )
