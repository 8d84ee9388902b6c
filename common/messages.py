"""How large a message may be that travels with its call, and what that makes of sample replies."""

from __future__ import annotations

import os

INLINE_LIMIT_VARIABLE = "RAY_max_direct_call_object_size"
_RAYS_INLINE_LIMIT_BYTES = 100 * 1024  # where nobody sets it
_OVERHEAD_BYTES = 4096
_LEAST_MINIBATCHES, _MOST_MINIBATCHES = 12, 32  # where the message allows
_TRANSITIONS_PER_CALL = 128


def inline_limit_bytes() -> int:
    """Bytes of an argument or reply that Ray ships inside the call; just above is the most expensive size."""
    return int(os.environ.get(INLINE_LIMIT_VARIABLE, _RAYS_INLINE_LIMIT_BYTES)) - _OVERHEAD_BYTES


def minibatches_per_call(batch_size: int, observation_size: int, samples_per_insert: float) -> int:
    """Minibatches that one sample reply carries: as many as stay under the inline limit, at least 1.

    Between 12 and 32 of them, which are about the samples due for 128 transitions: the limiter lets the learner be two
    calls ahead, and that is to stay small against what has been inserted.
    """
    from common.rows import row_dtype  # here: numpy is not needed to read a command line

    minibatch_bytes = row_dtype(observation_size).itemsize * batch_size
    due = int(_TRANSITIONS_PER_CALL * samples_per_insert / batch_size)
    wanted = min(_MOST_MINIBATCHES, max(_LEAST_MINIBATCHES, due))
    return max(1, min(wanted, inline_limit_bytes() // minibatch_bytes))
