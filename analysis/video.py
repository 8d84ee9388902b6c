"""One greedy episode as an MP4, frame by frame: an episode of any length takes no more memory than one frame."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from actors.greedy import StepLimit
from actors.policy import QFunction
from common.config import BadInput
from common.observations import flatten_one
from common.single_environment import make_single
from common.types import EnvironmentSpec

_FPS = 30.0  # of environments that do not say
_MOST_REASON = 200  # characters; ffmpeg and simulators tell long stories
Frame = NDArray[np.uint8]  # [height, width, 3]


def record(
    q_function: QFunction, environment: EnvironmentSpec, copy: int, seed: int, folder: Path, limit: StepLimit
) -> tuple[Path, int | None]:
    """Plays one episode on this copy, to its end or to the limit.

    Raises BadInput where that cannot be done, and leaves no part of a video then.

    Returns:
        The file, and how many environment steps it shows where the episode did not end.
    """
    env, observation, frame = _begin(environment, copy, seed, f"--video {folder}")
    try:
        return _record(q_function, env, observation, frame, folder, limit)
    except _FrameError as error:
        raise BadInput(f"--video {folder}: {environment.id} cannot be rendered ({error}); leave --video out") from None
    except (OSError, ImportError) as error:
        raise BadInput(
            f"--video {folder}: cannot be written ({_one_line(error)}); leave it out, or name another folder"
        ) from None
    finally:
        with suppress(Exception):  # the user's code, after all that is wanted of it
            env.close()


def _begin(
    environment: EnvironmentSpec, copy: int, seed: int, setting: str
) -> tuple[gymnasium.Env[Any, Any], Any, Frame]:
    """The environment with its first observation and frame: what cannot render shows here."""
    try:
        with warnings.catch_warnings():  # of what the error says too
            warnings.simplefilter("ignore")
            env = make_single(environment.id, environment.args, copy, "rgb_array", environment.wrapper)
            observation, _ = env.reset(seed=seed)
            return env, observation, _frame(env)
    except (Exception, SystemExit) as error:  # the user's environment can raise anything, and pygame may be missing
        modes = _render_modes(environment)
        reason = (
            f"it knows the render modes {modes}, and not rgb_array" if "rgb_array" not in modes else _one_line(error)
        )
        raise BadInput(f"{setting}: {environment.id} cannot be rendered ({reason}); leave --video out") from None


def _record(
    q_function: QFunction,
    env: gymnasium.Env[Any, Any],
    observation: Any,
    frame: Frame,
    folder: Path,
    limit: StepLimit,
) -> tuple[Path, int | None]:
    folder.mkdir(parents=True, exist_ok=True)
    path = next(free for n in itertools.count() if not (free := folder / f"greedy-episode-{n}.mp4").exists())
    unfinished = folder / f".{path.name}"
    try:
        with _Writer(unfinished, frame, _fps(env)) as write:
            unended = _play(q_function, env, observation, limit, write)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path, unended


def _play(
    q_function: QFunction,
    env: gymnasium.Env[Any, Any],
    observation: Any,
    limit: StepLimit,
    write: Callable[[Frame], None],
) -> int | None:
    """Returns how many environment steps it took where it did not end."""
    action_start = int(getattr(env.action_space, "start", 0))
    most = limit.env_steps
    for _ in range(most):
        q_values = q_function(flatten_one(env.observation_space, observation)[None])
        observation, _, terminated, truncated, _ = env.step(int(q_values.argmax()) + action_start)
        write(_frame(env))
        if terminated or truncated:
            return None
    return most


class _FrameError(Exception):
    """`render` failed, or returned something else."""


class _Writer:
    """Gives frames to ffmpeg, the first at once. Its end raises OSError where ffmpeg failed."""

    def __init__(self, path: Path, first: Frame, fps: float) -> None:
        from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter  # here, because only a video waits for it

        self._shape = first.shape
        height, width, _ = first.shape
        self._ffmpeg = FFMPEG_VideoWriter(str(path), (width, height), fps)
        self._process = self._ffmpeg.proc
        self._write(first)

    def __enter__(self) -> Callable[[Frame], None]:
        return self._write

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(OSError):  # a pipe that ffmpeg has closed; its exit code tells
            self._ffmpeg.close()
        if kind is None and self._process.wait() != 0:
            raise OSError(f"ffmpeg ended with {self._process.returncode}")

    def _write(self, frame: Frame) -> None:
        if frame.shape != self._shape:
            raise _FrameError(f"a frame of {frame.shape} came after frames of {self._shape}")
        self._ffmpeg.write_frame(frame)


def _frame(env: gymnasium.Env[Any, Any]) -> Frame:
    try:
        rendered: Any = env.render()
    except Exception as error:  # the user's environment can raise anything
        raise _FrameError(f"render() raised {type(error).__name__}: {_one_line(error)}") from None
    frame = np.asarray(rendered)
    if frame.ndim != 3 or frame.shape[2] not in (3, 4) or frame.size == 0 or not np.issubdtype(frame.dtype, np.number):
        what = f"an array of {frame.shape}" if isinstance(rendered, np.ndarray) else repr(rendered)[:40]
        raise _FrameError(f"render() returned {what}, which should be an array [height, width, 3]")
    return np.ascontiguousarray(frame[..., :3], dtype=np.uint8)


def _fps(env: gymnasium.Env[Any, Any]) -> float:
    told = env.metadata.get("render_fps")
    return float(told) if isinstance(told, int | float) and 0 < told < 1000 else _FPS


def _render_modes(environment: EnvironmentSpec) -> list[str]:
    """Those that it names; all that is needed, where even this fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gymnasium.make(environment.id)
        env.close()
        return [str(mode) for mode in env.metadata.get("render_modes", [])]
    except (Exception, SystemExit):  # the user's code
        return ["rgb_array"]


def _one_line(error: BaseException) -> str:
    """What it says; of a long story, such as ffmpeg's, its end."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MOST_REASON else f"... {text[-_MOST_REASON:]}"
