"""The messages that cross process boundaries.

Flat NamedTuples of numpy arrays, built by keyword: Ray ships numpy out of band and zero-copy. What arrives is a
read-only view that pins the whole message, so receivers copy out of it and never keep it.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.void]
"""`[N]` packed transitions with ids, see common/rows.py."""


class EnvironmentSpec(NamedTuple):
    """What the rest of the system needs to know of an environment."""

    id: str
    observation_size: int  # D, after flattening
    action_count: int
    observation_low: tuple[float, ...]  # [D], -inf where unbounded
    observation_high: tuple[float, ...]  # [D], inf where unbounded
    reward_threshold: float | None
    max_episode_steps: int | None = None  # None: nothing cuts its episodes, as far as is known
    args: tuple[str, ...] = ()  # NAME=VALUE for its constructor, see common/env_args.py
    wrapper: str | None = None  # MODULE:FUNCTION around each copy, see common/env_wrapper.py
    vectorised: bool = False  # copies are made by its own class, which plays as single ones do
    image: tuple[int, ...] = ()  # shape of the largest image among its observations


class Transition(NamedTuple):
    """Experience in columns, `[N, ...]`.

    discount is gamma**k over the k steps that the row spans, 0 only if the episode terminated. There is no `done`.
    """

    observation: NDArray[np.float32]  # [N, D]
    action: NDArray[np.int64]  # [N], from 0
    reward: NDArray[np.float32]  # [N], discounted sum over the k steps
    discount: NDArray[np.float32]  # [N]
    next_observation: NDArray[np.float32]  # [N, D], the true one after k steps, never that of a reset


class Episodes(NamedTuple):
    """Finished training episodes, one row each."""

    episode_return: NDArray[np.float64]  # [M], undiscounted
    length_env_steps: NDArray[np.int64]  # [M]
    epsilon: NDArray[np.float32]  # [M], at the episode's last step
    params_version: NDArray[np.int64]  # [M], at the episode's last step
    terminated: NDArray[np.bool_]  # [M], else it was cut


class Chunk(NamedTuple):
    """What an actor ships in one call. (actor_id, incarnation, seq) makes it unique."""

    actor_id: int
    incarnation: int  # 0, then one more for each process that replaced the actor
    seq: int  # 0, 1, 2 ... within the incarnation
    params_version: int  # the oldest acted with in it, learner steps
    params_held: int  # the newest acted with in it, learner steps
    params_held_since: float  # time.time() when the actor took them
    env_steps: int  # real environment steps since the last chunk
    rows: Rows  # [N]; the replay server gives them their ids
    episodes: Episodes


class ChunkFacts(NamedTuple):
    """What is counted of a chunk: all but its rows. Unique as the chunk is."""

    actor_id: int
    incarnation: int
    seq: int
    params_version: int
    params_held: int
    params_held_since: float
    env_steps: int
    episodes: Episodes
    rows: int
    shard: int  # that holds the rows


class AddReply(NamedTuple):
    """The ack of a chunk."""

    env_steps: int  # of all actors, the authority's count
    terminations: int  # of all actors: episodes that were not cut
    held: str  # why the ack should be waited for still; "" when the actor may go on
    stop: bool  # the run is ending
    params: Published | None  # the newest, where the actor holds older ones


class Grant(NamedTuple):
    """The answer to whoever asks for samples."""

    granted: bool  # then they are counted, and may be drawn
    waiting_for: str  # why not yet
    env_steps: int  # of all actors when the reply was made
    stop: bool
    sizes: tuple[int, ...]  # items alive, by shard


class SampleRequest(NamedTuple):
    """Asks for rows, and takes the |TD error| of earlier rows along."""

    rows: int
    ids: NDArray[np.int64]  # [P], of the rows that were trained on
    priority: NDArray[np.float32]  # [P], their |TD error|


class SampleReply(NamedTuple):
    """The answer to a SampleRequest; `rows` is None while the learner must wait, for the reason given."""

    rows: Rows | None  # [K * B], drawn at random: K minibatches one after the other; their ids are never reused
    waiting_for: str
    env_steps: int  # of all actors when the reply was made
    stop: bool


class Params(NamedTuple):
    """A published Q-network in the canonical form (common/params.py). A published array is never written again."""

    version: int  # learner steps
    env_steps: int  # the replay server's count when the learner published
    arrays: dict[str, NDArray[np.float32]]


class Published(NamedTuple):
    """Params on their way to the actors."""

    version: int  # learner steps
    published_time: float  # time.time() at the learner
    content: Any  # encoded Params, or in a list of one Ray's reference to them; Params once a client has decoded them


LookKind = Literal["look", "second_look", "confirmation"]


class Look(NamedTuple):
    """One greedy evaluation of one params version.

    After a first look there may be a second one, of what seems the best so far, or the confirmation of a candidate.
    """

    kind: LookKind
    version: int  # learner steps
    env_steps: int  # of the params evaluated
    seed: int  # the draw from the evaluator's stream for this look alone; of a confirmation that of its first round
    returns: NDArray[np.float64]  # [episodes]; what it had reached of one that did not end
    unended: int  # episodes that did not end within the limit
    longest_env_steps: int  # of an episode; those that did not end had as many
    mean: float
    std: float
    interval_low: float  # interval of the mean
    interval_high: float
    confidence: float  # of the interval: 0.95, of a confirmation more
    solved: bool  # only a confirmation can be


class Kept(NamedTuple):
    """The params that a run leaves if it ends now, and what speaks for them."""

    params: Params
    look: Look
    fresh: Look | None  # on other start states: the second look, or the confirmation; None: there was none yet

    @property
    def confirmed(self) -> bool:
        """Whether they solve the environment."""
        return self.fresh is not None and self.fresh.solved
