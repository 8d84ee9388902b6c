"""launch.py as a user meets it: bad input, signals, killed processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from launching import (
    END_SECONDS,
    LONG,
    ROOT,
    assert_all_gone,
    folder_for_ray,
    holders,
    launched,
    launched_on_a_terminal,
    read_until,
    read_until_all_play,
    run_main,
    user_environment,
    wait_for_all_roles,
    wait_for_children,
    wait_until,
)
from test_tensorboard import read_events

from common.config import ReplayConfig

CAPACITY = ReplayConfig().capacity_transitions


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """The least that makes a run folder, with a 4-8-2 network."""
    run = tmp_path / "finished"
    run.mkdir()
    config = {"settings": {"env": "CartPole-v1"}, "environment": {"solved_return": 475.0}}
    (run / "config.json").write_text(json.dumps(config))
    shapes = {"0.weight": (8, 4), "0.bias": (8,), "2.weight": (2, 8), "2.bias": (2,)}
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, run / "q_network.pth")
    return run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--actors 0", "--actors 0: must be"),
        ("--actors -3", "--actors -3: must be"),
        ("--actors many", "--actors"),
        ("--actors 10000", "--actors 10000: they need"),
        ("--env Nowhere-v0", "--env Nowhere-v0: "),
        ("--env no_such_module:Env-v0", "--env no_such_module:Env-v0: "),
        ("--env Pendulum-v1", "Discrete"),
        ("--env environments:Mission-v0", "a part 'mission' that is Text"),
        ("--env environments:RewardVectors-v0", "its rewards are vectors of 2 numbers"),
        ("--env environments:OneStates-v0", "the nearest of its"),
        ("--env environments:Mission-v0 --env-wrapper flat", "--env-wrapper flat: must be MODULE:FUNCTION"),
        (
            "--env environments:Mission-v0 --env-wrapper environments:without_mision",
            "the nearest there is without_mission",
        ),
        ("--env-args is_slippery", "--env-args is_slippery: must be NAME=VALUE"),
        ("--env-args gravity=3", "--env-args gravity=3: "),
        ("--hidden 64 0", "--hidden 64 0: every layer"),
        ("--gamma 1.5", "--gamma 1.5: must lie in [0, 1]"),
        (
            f"--batch-size {1 + CAPACITY}",
            f"--batch-size {1 + CAPACITY}: is larger than --replay-capacity-transitions {CAPACITY}",
        ),
        ("--tolerance-samples 10", "wait for each other for ever"),
        ("--replay-capacity-transitions 1000000000000", "transitions would fit"),
        ("--replay-shards 0", "--replay-shards 0: must be"),
        (
            f"--replay-shards {1 + CAPACITY}",
            f"--replay-shards {1 + CAPACITY}: is more than --replay-capacity-transitions {CAPACITY}",
        ),
        ("--replay-shards 50000", "--replay-shards 50000: their processes need"),
        ("--envs-per-actor 1000000000", "would fit"),
        ("--run-dir /proc/nowhere", "--run-dir /proc/nowhere: cannot be written"),
        ("--run-dir /proc/version", "--run-dir /proc/version: is a file"),
        ("--actor 3", "the nearest known option is --actors"),
        ("--run here", "the nearest known option is --run-dir"),
        ("--output here.png", "--output: belongs to another command; see launch.py plot --help"),
        ("--epsilon-wait-terminations -1", "--epsilon-wait-terminations -1: must be"),
        ("plot", "no run folder given"),
        ("plot nowhere", "nowhere: no run folder"),
        ("status nowhere", "nowhere: no run folder"),
        ("status", "status: no run under runs/"),
        ("status --folow", "the nearest known option is --follow"),
        ("evaluate nowhere", "nowhere: no run folder"),
        ("--initial-params nowhere", "no q_network.pth"),
        ("compare --networks 64y", "--networks 64y: must be"),
        ("compare --seeds 0", "--seeds 0: must be"),
        ("--address ray://head:10001", "ray job submit"),
        ("--address 127.0.0.1:1", "--address 127.0.0.1:1: nobody listens at 127.0.0.1:1"),
        ("--address head", "--address head: must be auto, or host:port"),
        ("--address a..b:6379", "--address a..b:6379: nobody listens at a..b:6379"),
    ],
)
def test_bad_input_gets_one_clear_message_and_exit_code_2(
    arguments: str, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_main(*arguments.split()) == 2
    output = "".join(capsys.readouterr())
    assert expected in output
    assert "Traceback" not in output
    assert len(output.splitlines()) <= 15
    assert list(tmp_path.iterdir()) == []  # nothing started, nothing left


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--actors 0", "--actors 0: must be"),
        ("--actors many", "--actors"),
        ("--env Nowhere-v0", "--env Nowhere-v0: "),
        ("--env Pendulum-v1", "Discrete"),
        ("--hidden 64 0", "--hidden 64 0: every layer"),
        ("--gamma 1.5", "--gamma 1.5: must lie in [0, 1]"),
        (
            f"--batch-size {1 + CAPACITY}",
            f"--batch-size {1 + CAPACITY}: is larger than --replay-capacity-transitions {CAPACITY}",
        ),
        ("--tolerance-samples 10", "wait for each other for ever"),
        ("--replay-shards 0", "--replay-shards 0: must be"),
        ("--actor 3", "the nearest known option is --actors"),
        ("--initial-params nowhere", "no q_network.pth"),
        ("compare --networks 64y", "--networks 64y: must be"),
    ],
)
def test_bad_input_is_told_before_a_cluster_is_asked(
    arguments: str, expected: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an address at which nobody listens nothing is said."""
    monkeypatch.chdir(tmp_path)
    assert run_main(*arguments.split(), "--address", "127.0.0.1:1") == 2
    output = "".join(capsys.readouterr())
    assert expected in output
    assert "nobody listens" not in output
    assert "Traceback" not in output


def test_a_used_run_folder_is_refused_and_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("data")
    assert run_main("--run-dir", str(tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_params_of_another_shape_are_refused(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("--initial-params", str(finished_run)) == 2
    assert "4-8-2, but this run needs 4-128-128-2" in capsys.readouterr().err


def children(process: subprocess.Popen[Any]) -> list[psutil.Process]:
    return list(psutil.Process(process.pid).children(recursive=True))


class _Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("it-ran",)


@pytest.mark.parametrize("command", [["evaluate"], ["--initial-params"]])
def test_a_network_file_that_would_run_code_is_refused_and_does_not_run(
    finished_run: Path, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_run)
    torch.save({"0.weight": _Malicious()}, finished_run / "q_network.pth")
    assert run_main(*command, str(finished_run)) == 2
    assert "holds more than tensors" in capsys.readouterr().err
    assert not (finished_run / "it-ran").exists()


def test_evaluate_plays_a_saved_network_and_writes_a_video(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = finished_run / "video"
    assert run_main("evaluate", str(finished_run), "--episodes", "20", "--video", str(video)) == 0
    output = capsys.readouterr().out
    assert "20 greedy episodes, seed 0" in output
    assert "below the return that counts as solved" in output  # all Q-values are equal, so it always pushes left
    assert [path.suffix for path in video.iterdir()] == [".mp4"]


@pytest.mark.parametrize("wrapper", [3, "no colon", ["a:b"], ""], ids=str)
def test_a_damaged_wrapper_of_the_environment_is_named(
    finished_run: Path, wrapper: object, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"settings": {"env": "CartPole-v1", "env_wrapper": wrapper}, "environment": {"solved_return": 475.0}}
    (finished_run / "config.json").write_text(json.dumps(config))
    assert run_main("evaluate", str(finished_run)) == 2
    assert "its config.json is damaged (env_wrapper is" in capsys.readouterr().err


@pytest.mark.parametrize("env_args", [["a"], "a=1", [3], ["a=1", "a=2"]], ids=str)
def test_damaged_arguments_of_the_environment_are_named(
    finished_run: Path, env_args: object, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"settings": {"env": "CartPole-v1", "env_args": env_args}, "environment": {"solved_return": 475.0}}
    (finished_run / "config.json").write_text(json.dumps(config))
    assert run_main("evaluate", str(finished_run)) == 2
    assert "its config.json is damaged" in capsys.readouterr().err


def test_every_copy_of_an_environment_gets_arguments_a_wrapper_a_number_and_global_streams_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 actors of 2 environments have the numbers 0 to 3, the evaluator 4 to 103, the probe 104, evaluate those behind.

    Actors and evaluator are forked from one template that has imported torch.
    """
    run = tmp_path / "run"
    options = "--actors 2 --envs-per-actor 2 --hidden 8 --max-learner-steps 100 --evaluation-interval-learner-steps 100"
    arguments = ["--env", "environments:Draws-v0", "--env-args", f"folder={tmp_path}", "number={index}"]
    arguments += ["--env-wrapper", "environments:first_two"]
    with launched(run, *arguments, *options.split(), environment={"PYTHONPATH": str(ROOT / "tests")}) as process:
        output, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0, output
    settings = json.loads((run / "config.json").read_text())["settings"]
    assert settings["env_args"] == [f"folder={tmp_path}", "number={index}"]
    assert settings["env_wrapper"] == "environments:first_two"

    file = tmp_path / "drawn.txt"

    def drawn() -> list[list[str]]:
        return [line.split() for line in file.read_text().splitlines()]

    # The evaluator makes a few copies first to see what they take, and then all anew.
    lines = list({line[0]: line for line in drawn() if line[0] != "104"}.values())
    assert len(lines) in (104, 24)  # where a look takes more than a second, it is played on 20 copies
    assert sorted(int(line[0]) for line in lines) == list(range(len(lines)))
    for column in list(zip(*lines, strict=True))[1:]:
        assert len(set(column)) == len(lines)
    evaluated = []
    for _ in range(2):
        file.unlink()
        assert run_main("evaluate", str(run), "--episodes", "2") == 0
        evaluated.append(drawn()[-2:])
        assert [line[0] for line in evaluated[-1]] == ["105", "106"]
    assert evaluated[0] == evaluated[1]
    assert "network 2-8-2" in capsys.readouterr().out


def test_a_killed_actor_is_replaced_and_an_interrupt_saves_even_where_it_arrives_ignored(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with launched(run, *LONG, ignore_sigint=True) as process:
        output = read_until(process, "env steps")
        family = psutil.Process(process.pid).children(recursive=True)
        actor = next(child for child in family if child.name().startswith("ray::actor-"))
        actor.suspend()  # so that other calls than `run` are outstanding when it dies
        output += read_until(process, "env steps")
        actor.kill()
        output += read_until(process, "replaced (number 1)")

        def its_episodes_are_there() -> bool:
            episodes = run / "episodes.parquet"
            return episodes.exists() and 1 in pq.read_table(episodes)["incarnation"].to_pylist()

        wait_until(its_episodes_are_there, "episodes of the replacement")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output += process.communicate(timeout=END_SECONDS)[0]
        assert process.returncode == 130, output
    assert_all_gone(family)
    assert "raylet" not in output  # what Ray says of it by itself
    assert "\x1b" not in output
    summary = json.loads((run / "summary.json").read_text())
    assert summary["stopped_by"] == "interrupted"
    assert summary["actor_restarts"] == 1
    assert summary["duplicate_chunks"] == 0
    episodes = pq.read_table(run / "episodes.parquet").to_pylist()
    assert len(episodes) == summary["episodes"]
    assert {row["incarnation"] for row in episodes} == {0, 1}
    assert sum(row["length_env_steps"] for row in episodes) <= summary["env_steps"]
    assert (run / "q_network.pth").exists()


@pytest.mark.parametrize(
    ("number", "exit_code", "hangs"), [(signal.SIGINT, 130, "gcs_server"), (signal.SIGTERM, 143, None)]
)
def test_a_signal_while_ray_starts_or_hangs_ends_the_process_and_leaves_no_folder(
    tmp_path: Path, number: signal.Signals, exit_code: int, hangs: str | None
) -> None:
    """A GCS that is stopped at once keeps Ray's start from going on for minutes."""
    run = tmp_path / "run"
    with launched(run, *LONG, ignore_sigint=True) as process:
        family = wait_for_children(process)
        if hangs:
            wait_until(lambda: any(child.name() == hangs for child in children(process)), "what is to hang")
            family = children(process)
            next(child for child in family if child.name() == hangs).suspend()
        process.send_signal(number)
        output = process.communicate(timeout=END_SECONDS)[0]
        assert process.returncode == exit_code, output
    assert output.endswith("stopped at the start: there was nothing to save\n")
    assert_all_gone(family)
    assert not run.exists()


def test_a_ray_that_cannot_start_because_the_network_is_down_is_told_in_one_line_and_leaves_no_folder(
    tmp_path: Path,
) -> None:
    """In a network of its own, loopback has no address before somebody brings it up."""
    alone = ["unshare", *(["--map-root-user"] if os.getuid() else []), "--net"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs a network of its own, which this system does not allow")
    done = subprocess.run(
        [*alone, sys.executable, str(ROOT / "launch.py"), "--run-dir", str(tmp_path / "run")],
        env={**user_environment(), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=END_SECONDS,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: Ray cannot start: nothing can listen at 127.0.0.1")
    assert "`ip link set lo up`" in done.stderr
    assert (done.stdout + done.stderr).count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_termination_of_all_processes_saves_and_leaves_none_also_with_a_long_temporary_folder(tmp_path: Path) -> None:
    """As by a batch system. Ray's own files are then in a short folder, and that is said."""
    run, long = tmp_path / "run", tmp_path / ("x" * 100)
    with launched(run, *LONG, environment={"TMPDIR": str(long)}) as process:
        output = read_until_all_play(process)
        family = [psutil.Process(process.pid), *children(process)]
        for member in family:
            member.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=END_SECONDS)[0]
        assert process.returncode == 143, output + rest
    assert_all_gone(family)
    assert f"TMPDIR {long} cannot hold Ray's sockets, whose paths may have 107 bytes: Ray's files are below" in output
    assert json.loads((run / "summary.json").read_text())["stopped_by"] == "terminated"
    assert (run / "q_network.pth").exists()
    assert len(rest.splitlines()) <= 15


def test_a_run_whose_terminal_is_closed_saves_and_leaves_no_process(tmp_path: Path) -> None:
    """The kernel then sends SIGHUP to all in its foreground, and nothing can be written there any more."""
    run = tmp_path / "run"
    with launched_on_a_terminal(run, *LONG) as (process, close_terminal):
        wait_until((run / "metrics.parquet").exists, "a run that is going on")
        wait_for_all_roles(process)
        family = children(process)
        close_terminal()
        assert process.wait(timeout=END_SECONDS) == 143
    assert_all_gone(family)
    assert json.loads((run / "summary.json").read_text())["stopped_by"] == "terminated"
    assert (run / "q_network.pth").exists()


def test_an_environment_named_as_a_module_of_ours_or_of_python_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("learner", "queue"):
        file = tmp_path / f"{name}.py"
        file.write_text("raise RuntimeError")
        assert run_main("--env", f"{name}:Own-v0") == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: --env {name}:Own-v0: {name} is a module of this program, of Python or")
        assert error.endswith(f"not {file}; rename that file\n")


def test_a_working_folder_that_is_gone_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run_main() == 2
    assert capsys.readouterr().err.startswith("error: the working folder is gone (No such file or directory); ")


def test_an_error_in_a_role_exits_with_1_and_the_traceback(tmp_path: Path) -> None:
    with launched(tmp_path / "run", "--env", "environments:FailsAtStep37-v0", "--actors", "1") as process:
        output = process.communicate(timeout=2 * END_SECONDS)[0]
    assert process.returncode == 1, output
    assert "error in the actor-0" in output
    assert "RuntimeError: the simulator broke at step 37" in output


def test_what_a_person_sees_of_a_run_names_its_processes_and_tells_no_token(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("--dashboard", "--tensorboard", "--timeline")
    with folder_for_ray() as ray_folder:
        with launched(run, *LONG, *options, environment={"RAY_TMPDIR": str(ray_folder)}) as process:
            output = read_until_all_play(process)
            for member in [psutil.Process(process.pid), *children(process)]:
                member.send_signal(signal.SIGUSR1)  # as some batch systems do before their limit
            output += process.communicate(timeout=END_SECONDS)[0]
            assert process.returncode == 143, output
        token_file = tmp_path / ".ray" / "auth_token"
        token = token_file.read_text()
        assert holders(token, tmp_path, ray_folder) == [token_file]
    assert len(re.findall("^dashboard: http://127.0.0.1:[0-9]+ .*ray get-auth-token", output, re.MULTILINE)) == 1
    assert output.count("http://127.0.0.1") == 1
    assert len(token) == 64
    assert token not in output
    written = [path for path in run.rglob("*") if path.is_file()]
    assert {"timeline.json", "config.json"} <= {path.name for path in written}
    assert any(path.name.startswith("events.out.tfevents.") for path in written)


def test_a_killed_run_is_followed_to_its_end_keeps_what_it_wrote_and_leaves_no_process(tmp_path: Path) -> None:
    """The driver is killed as soon as its first figures are in the run folder."""
    run = tmp_path / "run"
    with launched(run, *LONG, "--tensorboard") as process:
        read_until(process, "run folder")
        family = psutil.Process(process.pid).children(recursive=True)
        with subprocess.Popen(
            [sys.executable, str(ROOT / "launch.py"), "status", str(run), "--follow"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as status:
            assert f"running as process {process.pid};" in read_until(status, "env steps")
            family += children(process)
            assert {"raylet", "gcs_server"} <= {child.name() for child in family if child.is_running()}
            process.kill()
            rest = status.communicate(timeout=END_SECONDS)[0]
        _, alive = psutil.wait_procs(family, timeout=30)  # Ray's own agents would look for their raylet for minutes
        assert alive == []
    assert "CartPole-v1, killed: no summary was written; figures of" in rest
    assert status.returncode == 0
    steps = {event.step for event in read_events(run / "tensorboard")}
    assert steps & set(pq.read_table(run / "metrics.parquet")["env_steps"].to_pylist())
