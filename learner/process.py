"""The learner as the Ray actor that the driver creates.

Creating a Ray actor imports its class in the driver too; this one imports torch, which takes a second, only in the
learner's own process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.config import LearnerConfig
from common.types import Params
from learner.learner_stats import LearnerStats
from learner.network_file import encode_network

if TYPE_CHECKING:
    from learner.learner import Broadcaster


class LearnerProcess:
    """Hands everything on to a Learner, and holds what torch settles for a whole process."""

    def __init__(self, config: LearnerConfig, *args: Any, **kwargs: Any) -> None:
        """Takes what Learner takes."""
        import torch

        from learner.learner import Learner

        torch.set_num_threads(config.learner_threads)
        self._learner = Learner(config, *args, **kwargs)

    def __repr__(self) -> str:
        return "learner"

    def run(self, broadcast: Broadcaster) -> bool:
        """See Learner.run."""
        import torch

        torch.set_flush_denormal(True)  # of this thread: moments of dead units decay into denormals, which are slow
        return self._learner.run(broadcast)

    def newest(self) -> Params:
        """See Learner.newest."""
        return self._learner.newest()

    def stats(self) -> LearnerStats:
        """See Learner.stats."""
        return self._learner.stats()

    def encode(self, arrays: dict[str, NDArray[np.float32]]) -> bytes:
        """See encode_network; here, where torch is at hand."""
        return encode_network(arrays)
