"""The process that tries the user's environment before a run."""

from __future__ import annotations

import re
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from common.config import BadInput, Config, RunConfig
from driver.probe.process import Failed, Tried, probing, trial
from driver.signals import StoppedEarly, StopSignals

PATIENCE = 60.0  # a passing test never waits as long


def tried(name: str, ready_seconds: float = PATIENCE) -> Tried:
    """Of a run with this environment of broken_environments.py, which is tried in a process of its own."""
    run = RunConfig(env=f"broken_environments:{name}-v0", ready_seconds=ready_seconds)
    with probing(Config(run=run), StopSignals()) as probe:
        probe.described()
        result = probe.tried(PATIENCE)
        assert result is not None
        return result


def told_of(env: str) -> list[str]:
    """The same, tried here, which is faster; whether it is refused or not."""
    *_, last = trial(RunConfig(env=env), 0, heard=[])
    assert isinstance(last, Failed | Tried)
    return [last.text] if isinstance(last, Failed) else [*last.complaints, *last.heard]


def test_a_sound_environment_is_described_and_nothing_is_said() -> None:
    run = RunConfig(env="broken_environments:Sound-v0")
    with probing(Config(run=run), StopSignals()) as probe:
        spec = probe.described()
        assert (spec.id, spec.observation_size, spec.action_count, spec.max_episode_steps) == (run.env, 2, 2, 5)
        assert probe.tried(PATIENCE) == Tried([], [])


WHERE = r"\(\S*broken_environments\.py:\d+\)$"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RaisesWhenMade", "RuntimeError: no such level " + WHERE),
        ("AssertsWhenMade", "AssertionError: raise error " + WHERE),
        ("ExitsWhenMade", r"RuntimeError: the environment called sys.exit\(4\) " + WHERE),
        ("ExitsAtStep", r"RuntimeError: the environment called sys.exit\(0\) " + WHERE),
        ("RaisesAtReset", "KeyError: 'map' " + WHERE),
        ("OldReset", "reset returned an ndarray of shape .2,. and no info, as the old Gym API did; return"),
        ("OldStep", "step returned 4 values, as the old Gym API did; return"),
        ("ListAtReset", "reset returned a list of 2 and no info"),
        ("NanReward", "step returned the reward nan; it must be a finite number"),
        ("InfiniteObservation", "step returned an observation that is not finite: number 1 is inf"),
        ("OtherShape", r"step returned an observation of shape \(3,\)"),
        ("OutsideDiscrete", r"step returned the observation -1, which is not in Discrete\(3\)"),
        ("TextFlags", "step returned terminated = 'no', a str; return True or False"),
        ("InterruptsWhenMade", "KeyboardInterrupt: the simulator asked for it " + WHERE),
        (
            "RewardVectors",
            "its rewards are vectors of 2 numbers, and DQN needs one; weigh them in a wrapper, --env-wrapper",
        ),
        ("LeafNotFinite", "step returned an observation that is not finite in its part right: number 1 is inf"),
        ("LeafOutside", r"reset returned the observation 3 in its part left, which is not in Discrete\(2\)"),
        ("NoSpace", "its observation_space is None; set it to a space of gymnasium.spaces"),
        ("Missing", r"broken_environments registers no Missing-v0; (the nearest of its \d+ ids is|it has) "),
    ],
)
def test_an_environment_that_nothing_can_be_learnt_from_is_refused_in_one_line(name: str, expected: str) -> None:
    (line,) = told_of(f"broken_environments:{name}-v0")
    assert line.startswith(f"--env broken_environments:{name}-v0: ")
    assert "\n" not in line
    assert re.search(expected, line)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "AboveItsBound",
            "step returned an observation outside its space: number 1 is 7.0, and its bounds",
        ),
        ("LeafAboveItsBound", "step returned an observation outside its space in its part right: number 0 is 2.0, and"),
        ("CloseRaises", "close raised AttributeError: no window ("),
        ("BelowItsBound", "reset returned an observation outside its space: number 0 is -3.0, and its bounds are"),
    ],
)
def test_what_need_not_keep_it_from_learning_is_told_once(name: str, expected: str) -> None:
    (line,) = told_of(f"broken_environments:{name}-v0")
    assert expected in line


def test_what_is_lost_in_float32_lies_not_outside() -> None:
    assert told_of("broken_environments:RoundedAboveItsBound-v0") == []


def test_what_it_printed_before_it_failed_is_told_with_the_reason() -> None:
    with pytest.raises(BadInput, match=r"called sys.exit\(1\) .*; before that it printed: licence file missing$"):
        tried("PrintsAndExits")


def test_observations_of_another_kind_than_the_space_says_are_told() -> None:
    (line,) = tried("Lists").heard
    assert "reset returned a list of 2 of float64 as the observation; return the observation space's dtype" in line


def test_one_that_crashes_its_process_is_refused() -> None:
    with pytest.raises(BadInput, match=r"CrashesAtReset-v0: the process that tried it was ended by SIGKILL"):
        tried("CrashesAtReset")


def test_what_it_prints_and_warns_of_is_told_whoever_writes_it() -> None:
    warning, *printed = tried("Talks").heard
    assert re.fullmatch(r"UserWarning: the physics are unstable \(\S*broken_environments.py:\d+\)", warning)
    assert printed == ["the level is loaded", "from a C library", "no sound card"]


@pytest.mark.parametrize("module", ["no_such_module", "raises_at_import", "no_python"])
def test_a_module_that_cannot_be_imported_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    (tmp_path / "raises_at_import.py").write_text("\nraise OSError('the game is not installed')\n")
    (tmp_path / "no_python.py").write_text("\n\ndef reset(:\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    expected = {
        "no_such_module": "No module named 'no_such_module'; use a registered Gymnasium id, or module:id",
        "raises_at_import": f"OSError: the game is not installed ({tmp_path}/raises_at_import.py:2)",
        "no_python": f"SyntaxError: invalid syntax ({tmp_path}/no_python.py:3)",
    }
    assert told_of(f"{module}:Env-v0") == [f"--env {module}:Env-v0: {expected[module]}"]


def test_one_that_is_never_made_is_told_after_the_time_for_it_and_its_process_ends() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(BadInput, match=r"was not made within 2 s; wait longer with --ready-seconds"):
        tried("HangsWhenMade", ready_seconds=2.0)
    assert {child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE} <= before


def test_one_that_hangs_later_is_not_waited_for_longer_than_asked() -> None:
    with probing(Config(run=RunConfig(env="broken_environments:HangsAtStep-v0")), StopSignals()) as probe:
        probe.described()
        assert probe.tried(0.1) is None


def test_a_signal_ends_the_wait() -> None:
    signals = StopSignals()
    with probing(Config(run=RunConfig(env="broken_environments:HangsWhenMade-v0")), signals) as probe:
        signals.received = signal.SIGTERM
        with pytest.raises(StoppedEarly):
            probe.described()


def test_one_that_is_not_waited_for_is_ended_before_it_has_a_group_of_its_own() -> None:
    """Another thread, as here, has it start anew, which takes a while."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with probing(Config(run=RunConfig(env="broken_environments:HangsWhenMade-v0")), StopSignals()):
            pass
    finally:
        over.set()
        other.join()
    assert [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())] == []
