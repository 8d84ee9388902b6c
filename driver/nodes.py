"""The nodes of a cluster before anything starts: each must run our code with our versions."""

from __future__ import annotations

from collections.abc import Sequence

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from common.config import BadInput
from driver.head import Node
from driver.whereabouts import mismatch, versions, whereabouts

_ANSWER_SECONDS = 60.0  # a node may have to fetch and unpack the code first


def check_versions(nodes: Sequence[Node]) -> None:
    """Asks a process on every node. Raises BadInput unless all answer, with the driver's versions."""
    ask = ray.remote(num_cpus=0, max_retries=0)(whereabouts)
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)).remote(): node
        for node in nodes
    }
    ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
    ours = versions()
    for ref, node in asked.items():
        try:
            wrong = mismatch(ours, ray.get(ref, timeout=0))
        except GetTimeoutError:
            raise BadInput(
                f"node {node} has not started a process within {_ANSWER_SECONDS:.0f} s; it is overloaded, or cannot be "
                "reached: see ray status, and raylet.out in its session's logs"
            ) from None
        except RayError as error:
            raise BadInput(f"node {node} cannot start a process of this run: {_last_line(error)}") from None
        if wrong:
            raise BadInput(f"{wrong}; every node needs the same versions, such as one image for all")


def _last_line(error: RayError) -> str:
    """What a traceback ends with."""
    return str(error).strip().splitlines()[-1].strip()[:300]
