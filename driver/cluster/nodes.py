"""The nodes of a cluster before anything starts: each must run our code with our versions."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.config import BadInput
from driver.cluster.head import Node
from driver.cluster.whereabouts import mismatch, versions, whereabouts
from driver.signals import StoppedEarly, StopSignals

_LOOK_SECONDS = 0.5  # between looks for a signal


def check_versions(nodes: Sequence[Node], patience_seconds: float, signals: StopSignals) -> None:
    """Asks a process on every node. Raises BadInput unless all answer in time, with the driver's versions.

    Raises StoppedEarly on a signal meanwhile.

    A node may have to fetch and unpack the code first, and Ray starts a process anew that has not come up for a minute.
    """
    ask = ray.remote(num_cpus=0, max_retries=0)(whereabouts)
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(): node
        for node in nodes
    }
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline and ray.wait(list(asked), num_returns=len(asked), timeout=_LOOK_SECONDS)[1]:
        if signals.received is not None:
            raise StoppedEarly(signals.received)
    ours = versions()
    for ref, node in asked.items():
        try:
            wrong = mismatch(ours, ray.get(ref, timeout=0))
        except GetTimeoutError:
            raise BadInput(
                f"node {node} has not started a process within {patience_seconds:g} s; it is overloaded, or cannot be "
                "reached: see ray status, and raylet.out in its session's logs; wait longer with --ready-seconds"
            ) from None
        except RayError as error:
            raise BadInput(f"node {node} cannot start a process of this run: {_last_line(error)}") from None
        if wrong:
            raise BadInput(f"{wrong}; every node needs the same versions, such as one image for all")


def _last_line(error: RayError) -> str:
    """What a traceback ends with."""
    return str(error).strip().splitlines()[-1].strip()[:300]
