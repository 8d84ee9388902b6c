"""Variants against environments."""

from __future__ import annotations

from pathlib import Path

import pytest
from stub_build import asked, stub_build

from benchmarks.ablation import DEFAULTS, VARIANTS, Ablation, measure_ablation, named_variants
from common.config import BadInput
from driver.command_line import parse


def test_a_table_of_variants_and_environments_comes_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = stub_build(tmp_path)
    variants = (DEFAULTS, "slow=--learning-rate 1e-3")
    rows = measure_ablation(Ablation(variants, ("CartPole-v1",), seeds=2, build=build, runs=tmp_path / "runs"))
    assert [(row["variant"], row["seed"], row["failed"] is None) for row in rows] == [
        (DEFAULTS, 0, True),
        (DEFAULTS, 1, False),
        ("slow", 0, True),
        ("slow", 1, False),
    ]
    assert [arguments[7:9] == ["--learning-rate", "1e-3"] for arguments in asked(build)] == [False, False, True, True]
    out = capsys.readouterr().out
    assert "| variant | options | CartPole-v1 |\n| --- | --- | --- |\n| defaults | - | 9." in out
    assert "; 1 of 2 after 20 [20, 20] env steps; 1 failed |" in out
    assert "| slow | `--learning-rate 1e-3` | 9." in out


def test_the_variants_of_the_file_are_options_that_launch_knows() -> None:
    for options in named_variants(tuple(VARIANTS)).values():
        parse(options)


@pytest.mark.parametrize(
    ("variants", "reason"),
    [
        (("one stp",), "--variants one stp: no such variant; the nearest is 'one step'"),
        (("a=--n-step 1", "a=--n-step 2"), "--variants a=--n-step 2: needs a name of its own"),
        (("=--n-step 1",), "--variants =--n-step 1: needs a name of its own"),
        (("a=--env 'x",), "--variants a=--env 'x: No closing quotation; quote options"),
    ],
)
def test_variants_that_cannot_be_told_apart_or_are_not_known_are_refused(
    variants: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        named_variants(variants)
    assert str(refusal.value).startswith(reason)
