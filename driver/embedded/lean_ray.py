"""Starts an embedded Ray without what a session of one machine does not need.

`ray.init` has no options for this, so `lean` reaches into Ray's own modules while it runs; the versions in
pyproject.toml are the ones that it is tested with. `ray.init` alone starts the same session, some seconds later.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ray._private import node, parameter, services, state, utils

from driver.embedded.workers import entry
from driver.embedded.workers.handle import note_session

_LOOK_SECONDS = 0.01


@contextmanager
def lean(dashboard: bool) -> Iterator[None]:
    """For one `ray.init`.

    No autoscaler, because the machine is all there is. No log monitor: it would bring the workers' output to a driver
    that does not show it. The dashboard starts beside the raylet instead of before it, and without one there is no
    dashboard process, where Ray starts one that serves nothing. Workers start by way of entry.py: they are forked where
    there is a template.
    """
    options: dict[str, Any] = {"no_monitor": True, "include_log_monitor": False, "worker_path": entry.__file__}
    start_dashboard, start_raylet = node.Node.start_api_server, node.Node.start_ray_processes
    put_off: list[Callable[[], None]] = []

    def put_dashboard_off(self: node.Node, **options: Any) -> None:
        if dashboard:
            put_off.append(functools.partial(start_dashboard, self, **options))

    def start_raylet_and_dashboard(self: node.Node) -> None:
        note_session(self.get_session_dir_path())
        start_raylet(self)
        for start in put_off:
            start()

    with ExitStack() as replaced:
        for owner, name, value in (
            (parameter, "RayParams", functools.partial(parameter.RayParams, **options)),
            (services, "get_node", functools.partial(_get_node, services.get_node)),
            (node, "wait_for_persisted_port", functools.partial(_wait_for_port, node.wait_for_persisted_port)),
            # It imports the dashboard's packages to see whether they are installed; they are, with ray[default].
            (utils, "get_dashboard_dependency_error", lambda: None),
            (node.Node, "start_api_server", put_dashboard_off),
            (node.Node, "start_ray_processes", start_raylet_and_dashboard),
        ):
            replaced.enter_context(_replaced(owner, name, value))
        yield


def _get_node(get_node: Any, gcs_address: str, node_id: str) -> Any:
    """Ray's function, which looks once a second whether the raylet has registered, called when it has."""
    known = state.GlobalState()
    known._initialize_global_state(services._get_gcs_client_options(gcs_address))
    deadline = time.monotonic() + 10  # then Ray's own patience begins
    while time.monotonic() < deadline and all(seen["NodeID"] != node_id for seen in known.node_table()):
        time.sleep(_LOOK_SECONDS)
    return get_node(gcs_address, node_id)


def _wait_for_port(look: Any, *file: str, timeout_ms: int) -> int:
    """Ray's function, called again and again: until it returns, no other thread runs, nor the handler of a signal."""
    deadline = time.monotonic() + timeout_ms / 1000
    while True:
        try:
            return int(look(*file, timeout_ms=0))
        except RuntimeError:  # not there yet
            if time.monotonic() >= deadline:
                raise
        time.sleep(_LOOK_SECONDS)


@contextmanager
def killed_at_once() -> Iterator[None]:
    """For one `ray.shutdown`, which gives each of its processes a second to end by a signal that they block."""
    kill_all = node.Node.kill_all_processes

    def kill_all_at_once(self: node.Node, **options: Any) -> None:
        kill_all(self, **{**options, "allow_graceful": False})

    with _replaced(node.Node, "kill_all_processes", kill_all_at_once):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
