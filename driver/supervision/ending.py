"""The end of a run: stops the roles, and asks the last questions of whoever still answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError

from actors.pace import final_seconds
from common.types import Params
from driver.reporting.observer import Observer
from driver.supervision.networks import Networks
from driver.supervision.topology import LOOKS_GROUP, Role, Roles
from learner.client import CONTROL_GROUP
from learner.network_file import NetworkFile, network_file
from replay_server.stats import ReplayReport

Who = TypeVar("Who", str, int)

_STOP_SECONDS = 4.0  # for the roles to end by themselves, without a last look
_GRACE_SECONDS = 1.0  # for the last looks beyond what they are planned to take
_SLICE_SECONDS = 0.1  # of them, after each of which a signal is noticed
_ANSWER_SECONDS = 1.0  # for a last question to a role


class Ending:
    """In this order: stop, ask_for_looks, fetch_networks, ask."""

    def __init__(self, roles: Roles, observer: Observer) -> None:
        self._roles = roles
        self._observer = observer

    def stop(self, runs: Sequence[Any], looking: Any | None, run_seconds: float, hurry: Callable[[], bool]) -> None:
        """Tells everybody, and waits for the `run` calls given.

        `looking`: that of the evaluator, if it should look for a last time before. `run_seconds`: how long the run was.
        `hurry`: the user wants no more.
        """
        self._roles.replay.call("stop")
        # It passes over versions while it is busy or still starting; the newest is what it should end with.
        _ask(self._roles.learner, "newest", partial(self._roles.evaluator.call, "set_params", group=CONTROL_GROUP))
        self._roles.evaluator.call("stop", looking is not None, group=CONTROL_GROUP)
        if looking is not None:
            deadline = time.monotonic() + final_seconds(run_seconds) + _GRACE_SECONDS
            while time.monotonic() < deadline and not hurry():
                if ray.wait([looking], timeout=_SLICE_SECONDS)[0]:
                    break
            self._roles.evaluator.call("stop", False, group=CONTROL_GROUP)
        if runs:
            ray.wait(list(runs), num_returns=len(runs), timeout=_STOP_SECONDS)

    def ask_for_looks(self) -> None:
        """Those that the driver has not seen; one may have changed what is to be saved."""
        _ask(
            self._roles.evaluator, "next_looks", self._observer.take_looks, self._observer.looks_seen, group=LOOKS_GROUP
        )

    def ask(self, take_replay: Callable[[ReplayReport], object]) -> None:
        """What the roles have to say after their last poll."""
        lengths = (self._observer.longest_episode_env_steps, self._observer.mean_episode_env_steps)
        _ask(self._roles.evaluator, "report", self._observer.take_evaluator, *lengths)
        self._ask_actors()
        _ask(self._roles.learner, "stats", self._observer.take_learner)
        self._ask_shards()
        _ask(self._roles.replay, "report", take_replay, self._observer.episodes_seen, group=None)

    def fetch_networks(self, networks: Networks) -> None:
        """Whatever is newer than what the driver has, of whoever still answers."""
        kept = self._observer.kept
        if kept is not None and kept.params.version != networks.kept_version:
            networks.take_kept(self._encode(kept.params))
        looked_at: list[Params | None] = []
        _ask(self._roles.evaluator, "newest", looked_at.append)
        if not looked_at or looked_at[0] is None:
            _ask(self._roles.learner, "network_file", networks.take)
        elif networks.newest is None or looked_at[0].version > networks.newest.version:
            # The version that the last look was about; the learner may have published another one since.
            networks.take(self._encode(looked_at[0]))

    def _ask_actors(self) -> None:
        asked = {role.call("stats", group=CONTROL_GROUP): role.process for role in self._roles.actors if role.ready}
        for process, stats in _answers(asked):
            self._observer.take_actor(process, stats)

    def _ask_shards(self) -> None:
        asked = {role.call("stats"): shard for shard, role in enumerate(self._roles.shards) if role.ready}
        for shard, stats in _answers(asked):
            self._observer.take_shard(shard, stats)

    def _encode(self, params: Params) -> NetworkFile:
        """By the learner, which has torch at hand, while it answers."""
        encoded: list[NetworkFile] = []
        _ask(self._roles.learner, "encode", encoded.append, params)
        return encoded[0] if encoded else network_file(params)


def _answers(asked: dict[Any, Who]) -> Iterator[tuple[Who, Any]]:
    """Of these calls, all under way at once because there may be many; who does not answer is left out."""
    answered = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)[0] if asked else []
    for ref in answered:
        try:
            stats = ray.get(ref)
        except RayError:
            continue
        yield asked[ref], stats


def _ask(
    role: Role, method: str, on_value: Callable[[Any], object], *args: Any, group: str | None = CONTROL_GROUP
) -> None:
    """Who left a question unanswered, dead or stuck, or never came up, is not asked again."""
    if role.silent or not (role.ready or role.running):
        return
    try:
        value = ray.get(role.call(method, *args, group=group), timeout=_ANSWER_SECONDS)
    except (RayError, GetTimeoutError):
        role.silent = True
        return
    on_value(value)
