"""Opens the Ray session of a run: an embedded one, or a running cluster with what the roles need there."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from common.config import BadInput, Config
from common.types import EnvironmentSpec
from driver import resources, session
from driver.cluster import placement
from driver.cluster.placement import Placement
from driver.embedded.start import start_embedded
from driver.planning import Plan
from driver.ray_environment import RayDidNotStart, cluster_address
from driver.reporting.display import Display
from driver.session import RaySession
from driver.signals import StoppedEarly, StopSignals

if TYPE_CHECKING:
    from driver.cluster.head import Head

_START_SECONDS = 120.0  # on the busiest machine that Ray starts on at all
_HANGS = f"error: Ray did not start within {_START_SECONDS:.0f} s and has been ended; try again on a less busy machine"


def open_session(plan: Plan, display: Display, signals: StopSignals) -> tuple[RaySession, Placement]:
    """Embedded, or attached where an address is given. Says where, and how to see more.

    Raises BadInput where it cannot be, RayDidNotStart, and StoppedEarly where a signal came before all was there.
    """
    try:
        with signals.at_most(_START_SECONDS, _HANGS):
            ray_session = _start(plan.config, display)
    except SystemExit:  # raised by the handler of SIGTERM that ray.init installs
        session.leave_ray()
        raise StoppedEarly(signal.SIGTERM) from None
    except RayDidNotStart:
        if signals.received is not None:
            raise StoppedEarly(signals.received) from None
        raise
    signals.install_again()
    try:
        if signals.received is not None:
            raise StoppedEarly(signals.received)
        place = _place(plan.config, plan.environment, ray_session.head, signals)
    except (BadInput, StoppedEarly):
        ray_session.close()
        raise
    return ray_session, place


def _start(config: Config, display: Display) -> RaySession:
    address = cluster_address(config.run.address)
    if address is None:
        ray_session = start_embedded(placement.cpus(config), config.run.dashboard, config.run.dashboard_port)
    else:
        if config.run.address != address:
            display.say(f"RAY_ADDRESS is set, so this run attaches to {address}")
        from driver.cluster.attach import attach  # here, because an embedded run needs none of what it imports

        ray_session = attach(address, config.run.env, config.run.env_wrapper)
    display.say(ray_session.description)
    for note in (ray_session.token_note, ray_session.folder_note):
        if note:
            display.say(note, style="yellow")
    if ray_session.dashboard_url:
        token = "it asks for that token" if ray_session.token_note else "if it asks for a token: ray get-auth-token"
        display.say(f"dashboard: {ray_session.dashboard_url} ({token})")
    return ray_session


def _place(config: Config, environment: EnvironmentSpec, head: Head | None, signals: StopSignals) -> Placement:
    """Raises BadInput where the nodes have other versions than the driver, or too little room."""
    if head is None:
        placement.check_gpus(config.placement, session.cluster_gpus())
        return Placement(config.placement, core=None)
    from driver.cluster.nodes import check_versions  # here, because an embedded run has no other nodes

    nodes = head.nodes()
    home = placement.find_home(config.placement.core_node, nodes, session.own_node())
    if not config.placement.wait_for_resources:
        placement.check_totals(config, nodes, home)
        resources.check_memory(config, environment, session.cluster_memory())
    check_versions(nodes, config.run.ready_seconds, signals)
    return placement.reserve(config, home)
