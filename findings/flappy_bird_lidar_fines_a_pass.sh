#!/usr/bin/env bash
# flappy-bird-gymnasium 0.4.0, gymnasium 1.4.0: with the default observation (180 distances) a step in which any distance
# is below 32 pixels pays -0.5 instead of +0.1, which the package's list of rewards does not have. A gap is 100 pixels high
# and the bird 24, so passing through its middle costs more than it brings. With use_lidar=False the same flight is paid.
# Seen, a bird that flaps 5 pixels below the middle of each gap, seed 5, 1,500 steps, the same 39 pipes passed: the
# return is -88.5 with distances and 185.1 without, where a bird that dies at the first pipe gets about 4.
# It matters to whoever compares returns of the two observations, or takes a return for the number of pipes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q "flappy-bird-gymnasium==0.4.0" "gymnasium==1.4.0" "numpy==2.4.6"
SDL_VIDEODRIVER=dummy "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import flappy_bird_gymnasium
import gymnasium


def fly(use_lidar):
    """Return, pipes passed, and the rewards that there were."""
    env = gymnasium.make("FlappyBird-v0", use_lidar=use_lidar, disable_env_checker=True)
    bird = env.unwrapped
    env.reset(seed=5)
    total, rewards = 0.0, set()
    for _ in range(1500):
        pipes = zip(bird._upper_pipes, bird._lower_pipes)
        _, middle = min(
            (upper["x"], (upper["y"] + 320 + lower["y"]) / 2)
            for upper, lower in pipes
            if upper["x"] + 52 > bird._player_x
        )
        _, reward, terminated, _, info = env.step(int(bird._player_y + 12 > middle + 5))
        total += reward
        rewards.add(reward)
        if terminated:
            break
    return round(total, 1), info["score"], sorted(rewards)


with_lidar, without = fly(True), fly(False)
print("distances", with_lidar)
print("positions", without)
assert with_lidar[1] == without[1] == 39
assert with_lidar[0] < 0 < without[0]
assert -0.5 in with_lidar[2] and -0.5 not in without[2]
PYTHON
