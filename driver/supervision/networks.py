"""The networks of a run outside of its roles: in the driver and in the run folder, so that no role's end can cost them.

The newest is fetched from the learner every few seconds; the one to keep is made a file when the evaluator names it. So
the files are at any time what the run would leave if it ended then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from common.run_files import LAST_Q_NETWORK, Q_NETWORK
from common.types import Params
from driver.supervision.calls import Calls
from driver.supervision.topology import Role
from learner.client import CONTROL_GROUP
from learner.network_file import NetworkFile

_SAVE_SECONDS = 10.0
_FIRST_SECONDS = 1.0  # until there is one


class Files(Protocol):
    """Where networks are written."""

    def write_network(self, name: str, content: bytes) -> None:
        """See RunFolder."""
        ...


class Networks:
    """`last_q_network.pth` is the newest; `q_network.pth` the one to keep, and without one the newest too."""

    def __init__(self, learner: Role, calls: Calls, folder: Files, clock: Callable[[], float] = time.monotonic) -> None:
        self._learner = learner
        self._calls = calls
        self._folder = folder
        self._clock = clock
        self._asked = float("-inf")
        self._to_keep: Params | None = None
        self.newest: NetworkFile | None = None
        self._kept: NetworkFile | None = None

    @property
    def saved_version(self) -> int | None:
        """Of the params in `q_network.pth`; None where nothing was saved."""
        saved = self._kept or self.newest
        return None if saved is None else saved.version

    @property
    def kept_version(self) -> int | None:
        """Of the one to keep, once it is in the file."""
        return None if self._kept is None else self._kept.version

    def fetch_if_due(self) -> None:
        """Asks the learner for its newest network, unless it still owes the last answer."""
        now = self._clock()
        if now - self._asked < (_FIRST_SECONDS if self.newest is None else _SAVE_SECONDS):
            return
        if self._calls.ask_once("network_file", self._learner, "network_file", self._take_trained, group=CONTROL_GROUP):
            self._asked = now

    def keep(self, params: Params) -> None:
        """In place of what was to be kept. Has the learner, which has torch at hand, make a file of them."""
        self._to_keep = params
        self._have_it_made()

    def take(self, network: NetworkFile) -> None:
        """The newest that somebody had; one that is not newer than what is known changes nothing."""
        if self.newest is not None and network.version <= self.newest.version:
            return
        self.newest = network
        self._folder.write_network(LAST_Q_NETWORK, network.content)
        if self._kept is None:
            self._folder.write_network(Q_NETWORK, network.content)

    def take_kept(self, network: NetworkFile) -> None:
        """The one to keep."""
        self._kept = network
        self._folder.write_network(Q_NETWORK, network.content)

    def _have_it_made(self) -> None:
        params = self._to_keep
        if params is not None and params.version != self.kept_version:
            self._calls.ask_once("encode", self._learner, "encode", self._take_made, params, group=CONTROL_GROUP)

    def _take_made(self, network: NetworkFile) -> None:
        self.take_kept(network)
        self._have_it_made()  # if it is another one by now

    def _take_trained(self, network: NetworkFile) -> None:
        if network.version > 0:  # the initial params are worth a file only at the end
            self.take(network)
