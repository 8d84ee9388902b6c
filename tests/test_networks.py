"""Networks outside of the roles: what is fetched when, and which files it becomes."""

from __future__ import annotations

import numpy as np
from fakes import FakeCalls

from common.types import Params
from driver.supervision.networks import Networks
from driver.supervision.topology import Role
from learner.client import CONTROL_GROUP
from learner.network_file import NetworkFile


class Files(dict[str, bytes]):
    """By name."""

    def write_network(self, name: str, content: bytes) -> None:
        self[name] = content


def network(version: int) -> NetworkFile:
    return NetworkFile(version, str(version).encode())


class Scene:
    """The time is what the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls, self.files = FakeCalls(), Files()
        learner = Role("learner", create=lambda: None, ready=True, running=True)
        self.networks = Networks(learner, self.calls, self.files, clock=lambda: self.now)  # type: ignore[arg-type]

    def asks(self, seconds: int) -> int:
        """How often in so many seconds, with a look at the clock five times in each."""
        before = len(self.calls.asked)
        for _ in range(5 * seconds):
            self.now += 0.2
            self.networks.fetch_if_due()
        assert all(question.role == "learner" and question.group == CONTROL_GROUP for question in self.calls.asked)
        return len(self.calls.asked) - before


def test_the_newest_network_is_in_both_files_soon_and_a_newer_one_at_least_each_minute() -> None:
    scene = Scene()
    assert scene.asks(1) == 1
    scene.calls.answer("network_file", network(0))  # not trained yet
    assert scene.files == {}
    assert scene.asks(2) == 1
    scene.calls.answer("network_file", network(100))
    assert scene.files == {"q_network.pth": b"100", "last_q_network.pth": b"100"}
    assert scene.asks(60) >= 1
    scene.calls.answer("network_file", network(900))
    assert scene.files == {"q_network.pth": b"900", "last_q_network.pth": b"900"}
    assert scene.networks.saved_version == 900


def test_a_learner_that_does_not_answer_is_not_asked_again_until_it_does() -> None:
    scene = Scene()
    assert scene.asks(100) == 1


def test_the_network_to_keep_stays_whatever_newer_ones_come() -> None:
    scene = Scene()
    scene.asks(1)
    scene.calls.answer("network_file", network(100))
    params = Params(200, 0, {"0.weight": np.zeros((2, 2), dtype=np.float32)})
    scene.networks.keep(params)
    assert (scene.calls.open["encode"].method, scene.calls.open["encode"].args) == ("encode", (params,))
    scene.calls.answer("encode", network(200))
    scene.asks(60)
    scene.calls.answer("network_file", network(300))
    assert scene.files == {"q_network.pth": b"200", "last_q_network.pth": b"300"}
    assert scene.networks.saved_version == 200


def test_of_several_networks_to_keep_the_last_one_ends_up_in_the_file() -> None:
    """The learner is asked for one at a time."""
    scene = Scene()
    scene.networks.take(network(100))
    for version in (200, 300, 400):
        scene.networks.keep(Params(version, 0, {}))
    assert scene.files["q_network.pth"] == b"100"
    scene.calls.answer("encode", network(200))
    assert scene.files["q_network.pth"] == b"200"
    assert scene.calls.open["encode"].args[0].version == 400
    scene.calls.answer("encode", network(400))
    assert scene.files == {"q_network.pth": b"400", "last_q_network.pth": b"100"}
    assert scene.networks.saved_version == scene.networks.kept_version == 400
    assert "encode" not in scene.calls.open


def test_an_older_network_never_takes_the_place_of_a_newer_one() -> None:
    scene = Scene()
    scene.networks.take(network(300))
    scene.networks.take(network(200))
    assert scene.files["last_q_network.pth"] == b"300"
    assert scene.networks.newest == network(300)
