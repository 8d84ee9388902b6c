"""The learner as the Ray actor that the driver creates.

Creating a Ray actor imports its class in the driver too; this one imports torch, which takes a second, only in the
learner's own process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from common.config import BadInput, LearnerConfig
from common.types import Params
from learner.learner_stats import LearnerStats
from learner.network_file import NetworkFile, network_file

if TYPE_CHECKING:
    import torch

    from learner.learner import Broadcaster


class LearnerProcess:
    """Hands everything on to a Learner, and holds what torch settles for a whole process."""

    def __init__(self, config: LearnerConfig, *args: Any, gpus: float = 0.0, **kwargs: Any) -> None:
        """Takes what Learner takes but for the device, which follows from the GPUs that Ray gave to this process.

        Raises BadInput where torch sees none of them.
        """
        import torch

        from learner.learner import Learner

        torch.set_num_threads(config.learner_threads)
        self._learner = Learner(config, *args, **kwargs, device=_device(gpus))

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

    def network_file(self) -> NetworkFile:
        """Of the newest params."""
        return network_file(self._learner.newest())

    def encode(self, params: Params) -> NetworkFile:
        """Of any params, here where torch is at hand."""
        return network_file(params)


def _device(gpus: float) -> torch.device:
    """The CPU only where nothing else was asked for: to learn on it silently would waste the GPU."""
    import torch

    if gpus == 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")  # Ray shows a process only the GPUs that it gave to it
    if torch.version.cuda is None and torch.version.hip is None:
        why = f"torch {torch.__version__} there is built without CUDA; install one with it"
    else:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        why = f"torch {torch.__version__} sees none there (CUDA_VISIBLE_DEVICES: {shown}); look at its driver"
    raise BadInput(
        f"--learner-gpus {gpus:g}: the learner's node has a GPU, but {why}, or leave it out to learn on the CPU"
    )
