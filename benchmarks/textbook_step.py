"""A double-DQN step as a textbook has it, in a bare process: prints learner steps per second.

`python -m benchmarks.textbook_step BATCH SECONDS`: torch eager, default Adam, one thread, batches out of a numpy ring
by fancy indexing. Nothing of this project.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch import nn

_CAPACITY = 50_000
_SYNC_LEARNER_STEPS = 100


def main(batch_size: int, seconds: float) -> float:
    """Learner steps per second, after a short warm-up."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    observation = rng.standard_normal((_CAPACITY, 4)).astype(np.float32)
    next_observation = rng.standard_normal((_CAPACITY, 4)).astype(np.float32)
    action = rng.integers(2, size=_CAPACITY)
    reward = np.ones(_CAPACITY, dtype=np.float32)
    done = (rng.random(_CAPACITY) < 0.02).astype(np.float32)
    online, target = _network(), _network()
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3)

    def learner_step() -> None:
        rows = rng.integers(_CAPACITY, size=batch_size)
        states, next_states = torch.as_tensor(observation[rows]), torch.as_tensor(next_observation[rows])
        with torch.no_grad():
            best = online(next_states).argmax(dim=1, keepdim=True)
            q_next = target(next_states).gather(1, best).squeeze(1)
            wanted = torch.as_tensor(reward[rows]) + 0.99 * (1 - torch.as_tensor(done[rows])) * q_next
        q_values = online(states).gather(1, torch.as_tensor(action[rows])[:, None]).squeeze(1)
        loss = nn.functional.smooth_l1_loss(q_values, wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    for _ in range(200):
        learner_step()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for _ in range(_SYNC_LEARNER_STEPS):
            learner_step()
        target.load_state_dict(online.state_dict())
        steps += _SYNC_LEARNER_STEPS
    return steps / (time.perf_counter() - began)


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))


if __name__ == "__main__":
    print(main(int(sys.argv[1]), float(sys.argv[2])))
