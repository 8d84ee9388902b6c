"""How large a message may be that travels with its call, and what that makes of sample replies."""

from __future__ import annotations

import os

INLINE_LIMIT_VARIABLE = "RAY_max_direct_call_object_size"
_RAYS_INLINE_LIMIT_BYTES = 100 * 1024  # where nobody sets it
_OVERHEAD_BYTES = 4096
_MOST_MINIBATCHES_PER_CALL = 32


def inline_limit_bytes() -> int:
    """Bytes of an argument or reply that Ray ships inside the call; just above is the most expensive size."""
    return int(os.environ.get(INLINE_LIMIT_VARIABLE, _RAYS_INLINE_LIMIT_BYTES)) - _OVERHEAD_BYTES


def minibatches_per_call(batch_size: int, observation_size: int) -> int:
    """Minibatches that one sample reply carries: up to 32, as many as stay under the inline limit, at least 1."""
    from common.rows import row_dtype  # here: numpy is not needed to read a command line

    minibatch_bytes = row_dtype(observation_size).itemsize * batch_size
    return max(1, min(_MOST_MINIBATCHES_PER_CALL, inline_limit_bytes() // minibatch_bytes))
