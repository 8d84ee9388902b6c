"""`launch.py evaluate`, with and without a video, on networks whose play is known."""

from __future__ import annotations

import io
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import constant_arrays
from launching import run_main
from rich.console import Console
from run_folders import change_config, write_constant_network, write_network, write_run

from analysis.evaluate import evaluate_run
from common.config import BadInput

STAY, GO = [1.0, 0.0], [0.0, 1.0]  # Q-values in the corridor


def corridor(path: Path, q_values: Sequence[float], name: str = "Corridor") -> Path:
    return write_constant_network(path, f"environments:{name}-v0", q_values, 25)


def test_one_episode_has_no_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_run(corridor(tmp_path / "run", GO), 1, 0, None)
    output = capsys.readouterr().out
    assert "1 greedy episode, seed 0" in output
    assert "return -24.0; standard deviation and interval need more than one episode" in output
    assert "nan" not in output
    assert "0.0," not in output
    evaluate_run(tmp_path / "run", 2, 0, None)
    assert "standard deviation 0.0, 95 % interval of the mean [-24.0, -24.0]" in capsys.readouterr().out


def test_episodes_that_do_not_end_count_with_what_they_reached_and_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_run(corridor(tmp_path / "run", STAY), 3, 0, None)
    output = capsys.readouterr().out
    assert "mean return -1000.0" in output
    assert "3 of 3 episodes did not end within 1,000 steps; they count with what they reached" in output


def test_the_longest_episode_of_training_is_the_measure_where_the_run_can_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", [-60.0, -60.0], length=60)
    evaluate_run(corridor(run, STAY), 2, 0, None)
    assert "did not end within 1,200 steps" in capsys.readouterr().out
    (run / "episodes.parquet" / "part-00000.parquet").write_bytes(b"not what it was")
    evaluate_run(run, 2, 0, None)
    assert "did not end within 1,000 steps" in capsys.readouterr().out


def test_more_episodes_than_copies_are_played_in_turns_and_all_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_run(corridor(tmp_path / "run", GO), 230, 0, None)
    output, errors = capsys.readouterr()
    assert "230 greedy episodes, seed 0" in output
    assert "mean return -24.0" in output
    assert errors == ""  # no terminal, so no bar


def test_a_terminal_sees_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    evaluate_run(corridor(tmp_path / "run", GO), 3, 0, None, console)
    assert isinstance(console.file, io.StringIO)
    assert "100%" in console.file.getvalue()
    assert "3 greedy episodes" in capsys.readouterr().out


def test_ctrl_c_ends_an_evaluation_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The environment sends it, in the middle of an episode without an end."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
    try:
        assert run_main("evaluate", str(corridor(tmp_path / "run", STAY, "Interrupted")), "--episodes", "3") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    output, errors = capsys.readouterr()
    assert (output, errors) == ("", "stopped\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Corridor", "it knows the render modes [], and not rgb_array"),
        ("RendersNothing", "render() returned None, which should be an array [height, width, 3]"),
        ("RenderRaises", "render() raised RuntimeError: no display nor a window"),
        ("RenderBreaksLater", "render() raised RuntimeError: out of paint"),
    ],
)
def test_a_video_of_what_cannot_be_rendered_is_refused_before_anything_is_played(
    tmp_path: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, video = corridor(tmp_path / "run", GO, name), tmp_path / "video"
    assert run_main("evaluate", str(run), "--episodes", "1", "--video", str(video)) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors == (
        f"error: --video {video}: environments:{name}-v0 cannot be rendered ({reason}); leave --video out\n"
    )
    assert not video.exists() or list(video.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/nowhere", "a file"])
def test_a_video_into_a_folder_that_cannot_be_written_is_refused_before_anything_is_played(
    tmp_path: Path, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("precious")
    run = corridor(tmp_path / "run", GO, "Rendered")
    assert run_main("evaluate", str(run), "--episodes", "1", "--video", str(tmp_path / folder)) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert "cannot be written (" in errors
    assert errors.count("\n") == 1
    assert (tmp_path / "a file").read_text() == "precious"


def test_a_video_ends_at_the_limit_and_says_so_and_overwrites_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tmp_path / "video"
    for q_values, said in [
        (STAY, "greedy-episode-0.mp4, up to step 1,000 of an episode that did not end\n"),
        (GO, "greedy-episode-1.mp4\n"),
    ]:
        evaluate_run(corridor(tmp_path / "run", q_values, "Rendered"), 1, 0, video)
        assert capsys.readouterr().out.endswith(said)
    assert sorted(path.name for path in video.iterdir()) == ["greedy-episode-0.mp4", "greedy-episode-1.mp4"]
    assert all(path.read_bytes()[4:8] == b"ftyp" for path in video.iterdir())


def test_a_run_whose_environment_has_other_sizes_now_says_which(tmp_path: Path) -> None:
    run = write_network(tmp_path / "run", constant_arrays([0.0] * 4, 8, hidden=(16,)))
    with pytest.raises(
        BadInput,
        match=r"its network takes 8 numbers and knows 4 actions, CartPole-v1 gives 4 and has 2; the environment has "
        "changed since it was trained",
    ):
        evaluate_run(run, 1, 0, None)


def test_a_tilde_in_any_path_of_a_command_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell expands it nowhere in `--video=~/x`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    corridor(write_run(tmp_path / "run", [1.0]), GO, "Rendered")
    assert run_main("evaluate", "~/run", "--episodes", "1", "--video=~/clips") == 0
    assert (tmp_path / "clips" / "greedy-episode-0.mp4").exists()
    assert run_main("plot", "~/run", "--output=~/curve.png") == 0
    assert (tmp_path / "curve.png").exists()
    assert run_main("status", "~/run") == 0
    assert "not finished" in capsys.readouterr().out


def test_a_config_of_other_hands_is_refused_by_what_is_wrong(tmp_path: Path) -> None:
    run = corridor(tmp_path / "run", GO)
    change_config(run, "settings", "env", ["CartPole-v1"])
    with pytest.raises(BadInput, match=r"config.json is damaged \(settings.env is \[\"CartPole-v1\"\], no str\)"):
        evaluate_run(run, 1, 0, None)
