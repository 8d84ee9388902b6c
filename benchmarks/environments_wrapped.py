"""Other people's environments as ids of their own, where one needs a wrapper or a call: `--env THIS_MODULE:ID`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium
from gymnasium.envs.registration import register

Env = gymnasium.Env[Any, Any]


def _image(env: Env) -> Env:
    wrapped: Env = import_module("minigrid.wrappers").ImgObsWrapper(env)
    return wrapped


def _register(name: str, env_id: str, wrapper: Callable[[Env], Env]) -> None:
    def make(**kwargs: Any) -> Env:
        return wrapper(gymnasium.make(env_id, disable_env_checker=True, **kwargs))

    register(name, entry_point=make)


_register("Empty5x5Image-v0", "minigrid:MiniGrid-Empty-5x5-v0", _image)
_register("FourRoomsImage-v0", "minigrid:MiniGrid-FourRooms-v0", _image)
_register("TetrisFlat-v0", "tetris_gymnasium.envs:tetris_gymnasium/Tetris", gymnasium.wrappers.FlattenObservation)
if find_spec("minatar") is not None:
    import_module("minatar.gym").register_envs()
