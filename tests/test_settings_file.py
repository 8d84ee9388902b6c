"""--config FILE: what it takes over, what it refuses, and that the command line wins."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fakes import environment_spec
from hypothesis import given
from hypothesis import strategies as st
from launching import ROOT, run_main

from common.config import (
    ActorConfig,
    BadInput,
    Config,
    EvaluatorConfig,
    LearnerConfig,
    NetworkConfig,
    ReplayConfig,
    RunConfig,
)
from common.run_files import CONFIG
from driver.command_line import parse
from driver.planning import make_plan
from driver.reporting.run_folder import RunFolder, flat_settings
from driver.settings_file import read_settings

CARTPOLE = environment_spec("CartPole-v1", 4, 2)


def file_of(folder: Path, text: str, name: str = "settings.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def run_file(folder: Path, config: Config) -> tuple[str, Config]:
    """The config.json of a run with these settings, and the settings as resolved."""
    plan = make_plan(config, CARTPOLE, embedded=False)
    run = RunFolder(folder)
    run.write_config(plan.config, plan.environment, plan.solved_return, plan.filled_in)
    run.close()
    return str(folder / CONFIG), plan.config


def resolved(config: Config) -> Config:
    return make_plan(config, CARTPOLE, embedded=False).config


TOML = """
env = "Acrobot-v1"
n-step = 2
hidden = [64, 32]
gamma = 1
max_env_steps = 1e5
max_seconds = "none"
double = false
loss = "squared"
env_args = ["a=1", "b={index}"]
"""
JSON = """{"env": "Acrobot-v1", "n_step": 2.0, "hidden": [64, 32], "gamma": 1, "max-env-steps": 100000,
"max_seconds": null, "double": false, "loss": "squared", "env_args": ["a=1", "b={index}"]}"""


@pytest.mark.parametrize(("text", "name"), [(TOML, "a.toml"), (TOML, "a"), (JSON, "a.json"), (JSON, "a.txt")])
def test_settings_of_every_type_come_from_toml_or_json(tmp_path: Path, text: str, name: str) -> None:
    config = parse(["--config", file_of(tmp_path, text, name)]).config
    assert config == dataclasses.replace(
        Config(),
        run=RunConfig(env="Acrobot-v1", env_args=("a=1", "b={index}")),
        actor=ActorConfig(n_step=2, gamma=1.0),
        network=NetworkConfig(hidden=(64, 32)),
        learner=LearnerConfig(double=False, loss="squared"),
        replay=ReplayConfig(max_env_steps=100_000),
    )
    assert isinstance(config.actor.gamma, float)
    assert isinstance(config.replay.max_env_steps, int)


@pytest.mark.parametrize(
    "form", ["--config {} --seed 3 --double --hidden 8", "compare --seed=3 --double --hidden 8 --config={}"]
)
def test_the_command_line_wins_before_and_after_a_command(tmp_path: Path, form: str) -> None:
    file = file_of(tmp_path, "seed = 7\nn_step = 5\ndouble = false\nhidden = [64, 64]\nmax_env_steps = 7000")
    config = parse(form.format(file).split()).config
    assert (config.run.seed, config.learner.double, config.network.hidden) == (3, True, (8,))
    assert (config.actor.n_step, config.replay.max_env_steps) == (5, 7000)


def test_what_a_file_leaves_out_is_the_default_of_the_command(tmp_path: Path) -> None:
    file = file_of(tmp_path, "n_step = 5")
    assert parse(["--config", file]).config.replay.max_env_steps == 500_000
    assert parse(["--config", file, "compare"]).config.replay.max_env_steps == 100_000
    assert not parse(["--config", file, "compare"]).config.evaluator.stop_when_solved


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert parse(["--config", file_of(tmp_path, "# n_step = 1\n")]).config == Config()


def test_the_command_line_may_supply_what_a_files_settings_need(tmp_path: Path) -> None:
    batch_size = 1 + ReplayConfig().capacity_transitions
    capacity = ["--replay-capacity-transitions", str(batch_size)]
    file = file_of(tmp_path, f"learning_rate_final = 0.01\nbatch_size = {batch_size}")
    asked = parse(["--config", file, "--learning-rate", "0.02", *capacity]).config
    assert (asked.learner.learning_rate_final, asked.learner.batch_size) == (0.01, batch_size)
    with pytest.raises(BadInput, match=f"^--config {file}: learning-rate-final 0.01: must be .* at most"):
        parse(["--config", file, *capacity])
    with pytest.raises(BadInput, match=f"^--config {file}: batch-size {batch_size}: is larger than"):
        parse(["--config", file, "--learning-rate", "0.02"])


def test_a_refusal_of_the_command_lines_own_value_does_not_blame_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^--gamma 2.0: must lie in"):
        parse(["--config", file_of(tmp_path, "gamma = 0.9"), "--gamma", "2"])


REFUSED = [
    ('leanring_rate = 1', "leanring_rate: unknown; the nearest known setting is learning_rate"),
    ('lerning-rate = 1', "lerning-rate: unknown; the nearest known setting is learning_rate"),
    ("zzz = 1", "zzz: unknown; launch.py --help lists what is known"),
    ("[learner]\nlearning_rate = 1", "learner: unknown; settings have no sections here; write each as NAME = VALUE"),
    ("n_step = 1\nn-step = 2", "n-step: given twice, with - and with _; leave one out"),
    ("n_step = 1\nn_step = 2", "Cannot overwrite a value (at end of document); correct its TOML"),
    ("n_step = \n", "Invalid value (at line 1, column "),
    ('n_step = "3"', 'n_step "3": must be a whole number'),
    ("n_step = 1.5", "n_step 1.5: must be a whole number"),
    ("n_step = true", "n_step true: must be a whole number"),
    ("n_step = nan", "n_step NaN: must be a whole number"),
    ("n_step = inf", "n_step Infinity: must be a whole number"),
    ("n_step = 2020-01-01", 'n_step "2020-01-01": must be a whole number'),
    ("double = 1", "double 1: must be true or false"),
    ('double = "false"', 'double "false": must be true or false'),
    ("gamma = false", "gamma false: must be a number"),
    (f"gamma = {'9' * 400}", f"gamma {'9' * 60}...: must be a number"),
    ("gamma = nan", "gamma nan: must lie in [0, 1]"),
    ("gamma = 2", "gamma 2.0: must lie in [0, 1]"),
    ("actors = 0", "actors 0: must be a whole number of at least 1"),
    ("hidden = 64", "hidden 64: must be a list of whole numbers, such as [128, 128]"),
    ('hidden = ["64"]', 'hidden ["64"]: must be a list of whole numbers'),
    ("hidden = [64, 0]", "hidden 64 0: every layer size must be at least 1"),
    ('env_args = "a=1"', 'env_args "a=1": must be a list of texts, such as ["a=1"]'),
    ('env_args = ["a"]', "env-args a: must be NAME=VALUE"),
    ("env = 1", "env 1: must be a text"),
    ('loss = "mse"', 'loss "mse": must be "huber" or "squared"'),
    ('max_seconds = "never"', 'max_seconds "never": must be a number, or "none"'),
    ("run_dir = false", "run_dir false: must be a text"),
    ('seed = "none"', 'seed "none": must be a whole number'),
    ('{"n_step": 1,}', "line 1, column "),
    ('{\n"n_step": 1\n"seed": 2}', "line 3, column 1: Expecting ',' delimiter; correct its JSON"),
    ('{"n_step": 1, "n_step": 2}', "n_step is given twice; correct its JSON"),
    ('{"hidden": null}', "hidden null: must be a list of whole numbers"),
    ('{"hidden": ' + "[" * 100_000, "maximum recursion depth exceeded"),
    ('{"settings": {"acters": 3}}', "acters: unknown; the nearest known setting is actors"),
    ("a" * 1_000_001, "is larger than 1,000,000 bytes; name a file of settings"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text[:25] for text, _ in REFUSED])
def test_what_cannot_be_a_setting_is_refused_in_one_line_that_names_file_and_key(
    tmp_path: Path, text: str, reason: str
) -> None:
    file = file_of(tmp_path, text)
    with pytest.raises(BadInput) as refusal:
        parse(["--config", file])
    assert str(refusal.value).startswith(f"--config {file}: {reason}")
    assert "\n" not in str(refusal.value)


def test_a_json_file_that_holds_no_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r'is no object of settings; write it as {"seed": 1}$'):
        parse(["--config", file_of(tmp_path, "[1]", "a.json")])


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    run_file(tmp_path / "run", Config())
    (tmp_path / "other").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b'env = "\xff"')
    reasons = {
        "nowhere.toml": "cannot be read (No such file or directory); name a TOML or JSON file",
        "other": "is a folder; name a file",
        "run/": f"is a folder; its settings are in {tmp_path}/run/config.json",
        "bytes.toml": "is no text in UTF-8; name a TOML or JSON file",
    }
    for name, reason in reasons.items():
        with pytest.raises(BadInput) as refusal:
            parse(["--config", f"{tmp_path}/{name}"])
        assert str(refusal.value) == f"--config {tmp_path}/{name}: {reason}"
    with pytest.raises(BadInput, match=r"^--config '': is empty"):
        parse(["--config="])
    with pytest.raises(BadInput, match=r"^--config: given twice"):
        parse(["--config", "a", "compare", "--config=b"])


def test_a_user_sees_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(tmp_path, "n_steps = 1")
    assert run_main("--config", file, "--run-dir", str(tmp_path / "run")) == 2
    assert capsys.readouterr().err == f"error: --config {file}: n_steps: unknown; the nearest known setting is n_step\n"
    assert not (tmp_path / "run").exists()


def test_a_run_is_repeated_from_its_own_config_json(tmp_path: Path) -> None:
    asked = Config(
        run=RunConfig(seed=7, run_dir=str(tmp_path / "run"), env_args=("a=1",)),
        learner=LearnerConfig(learning_rate=1e-3, double=False),
        evaluator=EvaluatorConfig(solved_return=400.0),
        replay=ReplayConfig(max_env_steps=None),
    )
    file, ran = run_file(tmp_path / "run", asked)
    again = resolved(parse(["--config", file]).config)
    assert again.run.run_dir is None  # that folder is taken
    assert flat_settings(again) == flat_settings(ran) | {"run_dir": None}


def test_what_a_run_had_worked_out_follows_what_is_changed(tmp_path: Path) -> None:
    file, ran = run_file(tmp_path / "run", Config())
    changed = resolved(parse(["--config", file, "--learning-rate", "1e-4", "--actors", "64"]).config)
    fresh = resolved(parse(["--learning-rate", "1e-4", "--actors", "64"]).config)
    assert changed == fresh
    assert changed.learner.learning_rate_final != ran.learner.learning_rate_final
    assert changed.actor.chunk_rows != ran.actor.chunk_rows


def test_what_a_run_was_given_stays_although_others_would_decide_it(tmp_path: Path) -> None:
    file, _ = run_file(tmp_path / "run", Config(learner=LearnerConfig(learning_rate_final=1e-3)))
    again = resolved(parse(["--config", file, "--learning-rate", "2e-3"]).config)
    assert again.learner.learning_rate_final == 1e-3


def test_the_config_json_of_a_run_without_that_list_is_taken_as_it_stands(tmp_path: Path) -> None:
    file, ran = run_file(tmp_path / "run", Config())
    content: dict[str, Any] = json.loads(Path(file).read_text())
    del content["filled_in"]
    Path(file).write_text(json.dumps(content))
    assert parse(["--config", file]).config.actor.chunk_rows == ran.actor.chunk_rows


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").iterdir()), ids=lambda preset: preset.stem)
def test_a_preset_works_and_says_why_in_each_line(preset: Path) -> None:
    assert read_settings(str(preset)).values
    assert parse(["--config", str(preset)]).config != Config()
    lines = [line for line in preset.read_text().splitlines() if line and not line.startswith("env ")]
    assert all("# " in line for line in lines)


@given(st.text(alphabet='{}[]"=,:-_.#\n\\ 01en', max_size=40))
def test_no_text_at_all_ends_in_anything_but_settings_or_a_refusal(tmp_path_factory: Any, text: str) -> None:
    file = file_of(tmp_path_factory.getbasetemp(), text)
    with suppress(BadInput):
        assert read_settings(file).values.keys() <= flat_settings(Config()).keys()
