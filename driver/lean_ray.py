"""Starts an embedded Ray without what a session of one machine does not need.

`ray.init` has no options for this, so `lean` reaches into Ray's own modules while it runs; the versions in
pyproject.toml are the ones that it is tested with. `ray.init` alone starts the same session, some seconds later.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ray._private import node, parameter, services, state, utils

from driver.workers.handle import entry_program

_LOOK_SECONDS = 0.01


@contextmanager
def lean(dashboard: bool) -> Iterator[None]:
    """For one `ray.init`.

    No autoscaler, because the machine is all there is. No log monitor: it would bring the workers' output to a driver
    that does not show it. Without the dashboard no dashboard process either, where Ray starts one that serves nothing.
    Workers are forked where there is a template.
    """
    options: dict[str, Any] = {"no_monitor": True, "include_log_monitor": False, "worker_path": entry_program()}
    with ExitStack() as replaced:
        replaced.enter_context(_replaced(parameter, "RayParams", functools.partial(parameter.RayParams, **options)))
        replaced.enter_context(_replaced(services, "get_node", functools.partial(_get_node, services.get_node)))
        # It imports the dashboard's packages to see whether they are installed; they are, with ray[default].
        replaced.enter_context(_replaced(utils, "get_dashboard_dependency_error", lambda: None))
        if not dashboard:
            replaced.enter_context(_replaced(node.Node, "start_api_server", lambda self, **options: None))
        yield


def _get_node(get_node: Any, gcs_address: str, node_id: str) -> Any:
    """Ray's function, which looks once a second whether the raylet has registered, called when it has."""
    known = state.GlobalState()
    known._initialize_global_state(services._get_gcs_client_options(gcs_address))
    deadline = time.monotonic() + 10  # then Ray's own patience begins
    while time.monotonic() < deadline and all(seen["NodeID"] != node_id for seen in known.node_table()):
        time.sleep(_LOOK_SECONDS)
    return get_node(gcs_address, node_id)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
