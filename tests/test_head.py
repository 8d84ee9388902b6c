"""The head of a real Ray, asked directly."""

from __future__ import annotations

import pytest
import ray

from driver.cluster.head import Head, Node
from driver.cluster.watch import watch_nodes

pytestmark = pytest.mark.usefixtures("ray_session")


def head() -> Head:
    address = ray.get_runtime_context().gcs_address
    return Head(address, given=address)


def test_it_knows_its_node_and_lets_us_in() -> None:
    assert head().knock() == ray.__version__
    (node,) = head().nodes()
    assert node.id == ray.get_runtime_context().get_node_id()
    assert (node.is_head, node.resources["CPU"]) == (True, 12)
    assert head().alive() == {node.id}


def test_a_node_answers_whether_it_is_alive_and_a_port_where_none_is_does_not() -> None:
    (node,) = head().nodes()
    assert head().asking(node)().exception(timeout=60) is None
    nobody = node._replace(port=1)
    assert head().asking(nobody)().exception(timeout=60) is not None


def test_only_the_nodes_that_are_named_are_watched() -> None:
    (node,) = head().nodes()
    assert len(watch_nodes(head(), {node.id: ["learner"]})) == 1
    assert watch_nodes(head(), {"another": ["learner"]}) == []


def test_a_head_that_does_not_answer_counts_no_nodes() -> None:
    nobody = Head("127.0.0.1:1", given="127.0.0.1:1")
    assert nobody.nodes_or_none() is None
    assert nobody.alive() is None
    node = Node("id", "127.0.0.1", 1, "name", {}, is_head=False)
    assert watch_nodes(nobody, {node.id: ["learner"]}) == []
