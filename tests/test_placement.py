"""Which resources a run asks for, and what is said where a cluster lacks them. No Ray runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from common.config import ActorConfig, BadInput, Config, PlacementConfig, ReplayConfig
from driver.cluster import placement
from driver.cluster.head import Node


def config(actors: int = 2, shards: int = 1, **asked: Any) -> Config:
    return Config(
        actor=ActorConfig(actors=actors),
        replay=ReplayConfig(replay_shards=shards),
        placement=PlacementConfig(**asked),
    )


def node(name: str, cpus: float, gpus: float = 0.0) -> Node:
    return Node(f"id-{name}", f"address-{name}", 1, name, {"CPU": cpus, "GPU": gpus}, is_head=False)


HOME, OTHER = node("home", 3), node("other", 2)


def check(config: Config, *nodes: Node, driver: Node = HOME) -> Node | None:
    """As an attached run does, before it reserves anything. Returns the core's node."""
    home = placement.find_home(config.placement.core_node, nodes, driver.id)
    placement.check_totals(config, nodes, home)
    return home


def refusal(config: Config, *nodes: Node) -> str:
    with pytest.raises(BadInput) as refused:
        check(config, *nodes)
    return str(refused.value)


@pytest.mark.parametrize(
    ("asked", "cpus"),
    [
        (config(actors=8), 11),
        (config(actors=8, shards=4), 14),
        (config(actors=8, actor_cpus=0.5, learner_cpus=2, evaluator_cpus=0), 7),
    ],
)
def test_all_roles_together_ask_for_the_sum_of_what_each_asks_for(asked: Config, cpus: float) -> None:
    assert placement.cpus(asked) == cpus


def test_the_core_lives_on_the_drivers_node_unless_told_otherwise() -> None:
    assert check(config(), HOME, OTHER) is HOME
    assert check(config(actors=1, core_node="address-big"), HOME, node("big", 3), OTHER) == node("big", 3)
    assert check(config(core_node="home"), HOME, OTHER) is HOME  # by its host's name
    assert check(config(core_node="any"), HOME, OTHER) is None


def test_an_unknown_core_node_is_refused_with_those_there_are() -> None:
    assert refusal(config(core_node="mars"), HOME, OTHER) == (
        "--core-node mars: no such node; must be driver, any, spread, or an address of: "
        "home (address-home), other (address-other)"
    )


def test_a_core_node_with_too_few_cpus_is_refused_even_where_the_cluster_has_enough() -> None:
    said = refusal(config(learner_cpus=2), HOME, node("big", 50))
    assert said.startswith("--core-node driver: learner, evaluator and replay server need 4 CPUs and node home")
    assert "has 3" in said
    assert "--wait-for-resources" in said
    assert check(config(learner_cpus=2, core_node="any"), HOME, node("big", 50)) is None


def test_a_core_that_no_single_node_holds_fits_when_it_may_spread() -> None:
    nodes = [node("home", 2), node("other", 2)]
    assert "no node has more than 2" in refusal(config(actors=1, core_node="any"), *nodes)
    check(config(actors=1, core_node="spread"), *nodes)
    assert "the cluster has 1" in refusal(config(actors=1, core_node="spread"), node("home", 1))


def test_a_gpu_that_the_core_node_lacks_is_named() -> None:
    said = refusal(config(learner_gpus=1), HOME, node("gpu", 8, gpus=2))
    assert said.startswith("--learner-gpus 1: learner, evaluator and replay server need 1 GPUs and node home")
    check(config(learner_gpus=1, core_node="gpu"), HOME, node("gpu", 8, gpus=2))


def test_a_machine_of_its_own_without_the_gpus_asked_for_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^--learner-gpus 1: Ray finds 0 GPUs on this machine; leave it out"):
        placement.check_gpus(PlacementConfig(learner_gpus=1), has=0)
    placement.check_gpus(PlacementConfig(learner_gpus=1), has=1)
    placement.check_gpus(PlacementConfig(), has=0)


def too_few(nodes: Sequence[Node], **asked: Any) -> str:
    return refusal(config(**asked), *nodes)


def test_too_many_actors_are_refused_with_the_number_that_fits() -> None:
    assert too_few([HOME, OTHER], actors=3).startswith(
        "--actors 3: all roles need 6 CPUs and the cluster has 5; at most 2 actors would fit"
    )
    assert "it needs at least 4" in too_few([HOME], actors=3)


def test_half_a_cpu_left_on_each_of_two_nodes_is_no_room_for_an_actor() -> None:
    nodes = [node("home", 3.5), node("other", 0.5)]
    assert "it needs at least 4" in too_few(nodes, actors=1)
    check(config(actors=2, actor_cpus=0.5), *nodes)


def test_actors_that_ask_for_no_cpu_always_fit() -> None:
    check(config(actors=1000, actor_cpus=0), HOME)


def test_every_role_asks_for_what_its_options_say() -> None:
    asked = config(learner_cpus=2, learner_gpus=1, replay_cpus=3, evaluator_cpus=0.5, actor_cpus=0.25)
    place = placement.Placement(asked.placement, core=None)
    assert place.learner() == {"num_cpus": 2, "num_gpus": 1}
    assert place.replay() == {"num_cpus": 3, "num_gpus": 0}
    assert place.evaluator() == {"num_cpus": 0.5, "num_gpus": 0}
    assert place.actor() == {"num_cpus": 0.25}
    assert place.coordinator() == {"num_cpus": 0, "num_gpus": 0}


@pytest.mark.parametrize("value", [-1.0, 1.5, float("nan")])
def test_resources_that_ray_does_not_know_are_refused(value: float) -> None:
    with pytest.raises(BadInput, match="--actor-cpus"):
        dataclasses.replace(PlacementConfig(), actor_cpus=value)
