"""Run folders that were damaged or come from other hands: one line that names the file, or the right values."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from fakes import environment_spec, random_arrays
from moments import progress
from numpy.typing import NDArray
from rich.console import Console
from run_folders import write_run
from test_status import SOLVED_VALUES, SUMMARY_VALUES

from analysis.evaluate import evaluate_run
from analysis.plot import read_curve
from analysis.saved_run import read_network, read_table
from analysis.status import show_status
from common.config import BadInput, Config, NetworkConfig, RunConfig
from common.params import layer_shapes
from common.run_files import CONFIG, EPISODES, METRICS, Q_NETWORK, SUMMARY
from driver.planning import make_plan
from driver.reporting.run_folder import RunFolder, flat_settings
from learner.network_file import encode_network

Float32 = NDArray[np.float32]
ARRAYS = random_arrays(layer_shapes(4, (16,), 2), seed=1)
TENSORS = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
CARTPOLE = environment_spec("CartPole-v1", 4, 2)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of CartPole with everything that readers look for."""
    path = write_run(tmp_path_factory.mktemp("whole") / "run", [9.0, 10.0, 11.0], moments=[progress(seconds=3.0)])
    folder = RunFolder(path)
    folder.write_config(Config(), CARTPOLE, 475.0)
    folder.write_summary({**SUMMARY_VALUES, **SOLVED_VALUES})
    (path / Q_NETWORK).write_bytes(encode_network(ARRAYS))
    return path


@pytest.fixture
def run(whole_run: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(whole_run, tmp_path / "run")


def status(path: Path) -> None:
    show_status([path], console=Console(file=io.StringIO(), force_terminal=True))


def go_on(path: Path) -> None:
    make_plan(
        Config(run=RunConfig(initial_params=str(path)), network=NetworkConfig(hidden=(16,))), CARTPOLE, embedded=False
    )


READERS: dict[str, Callable[[Path], object]] = {
    "plot": lambda path: read_curve(path, "env-steps"),
    "status": status,
    "evaluate": lambda path: evaluate_run(path, 1, 0, None),
    "--initial-params": go_on,
}


def refusal(read: Callable[[Path], object], path: Path) -> str | None:
    """What it says where it refuses the run; anything else that it raises fails the test."""
    text = None
    try:
        read(path)
    except BadInput as error:
        text = str(error)
    if text is not None:
        assert text.isprintable(), text  # one line, and nothing that moves a cursor
        assert str(path) in text
        assert len(text) < 600
    return text


def read_with_all(path: Path) -> list[str]:
    """What each reader says that refuses the run."""
    return [text for read in READERS.values() if (text := refusal(read, path)) is not None]


def test_a_whole_run_is_refused_by_nobody(run: Path) -> None:
    assert read_with_all(run) == []


# JSON

JUNK: list[Any] = [
    None, "x", "", [], [1, 2], {}, True, -1, 1.5, float("nan"), float("inf"), 10**400, 10**25,
    "\ud800", "\x1b[31m[/red]\n", [None, 1], ["a", "b"], "$x_$$",
]  # fmt: skip


@pytest.mark.parametrize("name", [CONFIG, SUMMARY])
def test_a_file_that_is_no_json_object_is_named(run: Path, name: str) -> None:
    whole = (run / name).read_bytes()
    contents = [b"", b"null", b"[]", b"3", b"{", b"\xff\xfe{}", b"[" * 200_000, b"1" * 5000, whole[:-20], b"\0" * 9]
    for content in contents:
        (run / name).write_bytes(content)
        said = read_with_all(run)
        assert said, content[:9]
        assert all(f"its {name} is damaged (" in text for text in said if "--initial-params" not in text)


@pytest.mark.parametrize("name", [CONFIG, SUMMARY])
def test_a_folder_in_the_place_of_a_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    (run / name).mkdir()
    said = read_with_all(run)
    assert said
    assert all(f"its {name} cannot be read (Is a directory)" in text for text in said)


def test_no_value_that_is_missing_or_of_another_type_ends_in_a_traceback(run: Path) -> None:
    """Each once missing and once each kind of junk, of both files."""
    refused = 0
    for name in (CONFIG, SUMMARY):
        whole = json.loads((run / name).read_text())
        readers = [status] if name == SUMMARY else [status, READERS["plot"]]
        for place in places(whole):
            if place[0] in ("versions", "git_commit", "command_line") or place[1:] in NOT_READ:
                continue
            for value in [KeyError, *JUNK]:
                (run / name).write_text(json.dumps(changed(whole, place, value)))
                for read in readers:
                    if (said := refusal(read, run)) is not None:
                        refused += 1
                        assert f"its {name} is damaged" in said
        (run / name).write_text(json.dumps(whole))
    assert refused > 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"env_steps": "many"}, '(env_steps is "many", no int)'),
        ({"solved": 1}, "(solved is 1, no bool)"),
        ({"confirmation_interval": [1.0]}, "(confirmation_interval is [1.0], no tuple[float, float])"),
        ({"policy_lag_max": None}, "(policy_lag_max is null, no int)"),
        ({"evaluation_unended": "all"}, '(evaluation_unended is "all", no int | None)'),
        ({"stopped_by": KeyError}, "(no stopped_by)"),
    ],
)
def test_what_is_wrong_with_a_summary_is_said(run: Path, changes: dict[str, Any], said: str) -> None:
    whole = json.loads((run / SUMMARY).read_text())
    for name, value in changes.items():
        (run / SUMMARY).write_text(json.dumps(changed(whole, (name,), value)))
    assert f"its {SUMMARY} is damaged {said}" in (refusal(status, run) or "")


def test_a_summary_without_what_later_versions_count_is_shown(run: Path) -> None:
    whole = json.loads((run / SUMMARY).read_text())
    assert "evaluation_unended" not in whole
    (run / SUMMARY).write_text(json.dumps({**whole, "of_a_later_version": [1]}))
    status(run)


NOT_READ = [(name,) for name in flat_settings(Config()) if name not in ("env", "actors", "samples_per_insert")]


def places(content: Mapping[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, value in content.items():
        found.append((*before, name))
        if isinstance(value, dict):
            found += places(value, (*before, name))
    return found


def changed(content: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy with another value there; KeyError: none at all."""
    copy: dict[str, Any] = json.loads(json.dumps(content))
    within = copy
    for name in place[:-1]:
        within = within[name]
    within[place[-1]] = value
    if value is KeyError:
        del within[place[-1]]
    return copy


# Tables

READ = (
    "env_steps",
    "episode_return",
    "kind",
    "evaluation_return",
    "evaluation_std",
    "solved",
    "epsilon",
    "waiting_for",
)
COLUMNS: list[Callable[[int], Any]] = [
    lambda n: pa.array(["x"] * n),
    lambda n: pa.array([None] * n),
    lambda n: pa.array([[1]] * n),
    lambda n: pa.array([{"a": 1}] * n),
    lambda n: pa.array([b"\xff"] * n),
    lambda n: pa.array([float("nan")] * n),
    lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    lambda n: pa.array(list(range(n))).cast(pa.timestamp("s")),
    lambda n: pa.array(["a"] * n).dictionary_encode(),
]


@pytest.mark.parametrize("name", [EPISODES, METRICS])
def test_no_column_that_is_missing_or_of_another_type_ends_in_a_traceback(run: Path, name: str) -> None:
    part = max((run / name).iterdir())
    whole = pq.read_table(part)
    refused = 0
    for index, column in enumerate(whole.column_names):
        if column not in READ:
            continue
        tables = [whole.drop_columns([column]), whole.append_column(column, whole[column])]
        tables += [whole.set_column(index, column, make(whole.num_rows)) for make in COLUMNS]
        for table in tables:
            pq.write_table(table, part)
            for read in (READERS["plot"], unfinished_status):
                if (said := refusal(read, run)) is not None:
                    refused += 1
                    assert f"its {name}/{part.name} " in said
    assert refused > 10


def unfinished_status(path: Path) -> None:
    """Of a run without a summary, which reads the newest figures."""
    (path / SUMMARY).unlink(missing_ok=True)
    status(path)


@pytest.mark.parametrize("name", [EPISODES, METRICS])
def test_a_part_that_is_cut_overwritten_or_something_else_is_named(run: Path, name: str) -> None:
    (run / SUMMARY).unlink()
    part, rng = max((run / name).iterdir()), random.Random(1)
    whole = part.read_bytes()
    footer = len(whole) - 1500  # damage is seen most where types and places are
    for number in range(60):
        content = bytearray(whole)
        if number < 20:
            content = content[: rng.randrange(len(whole))]
        for _ in range(0 if number < 20 else 1 + number % 4):
            content[rng.randrange(footer, len(whole))] = rng.randrange(256)
        part.write_bytes(bytes(content))
        assert all(f"its {name}/{part.name} " in text or "env " in text for text in read_with_all(run))
    part.write_bytes(whole[:-1])
    assert len(read_with_all(run)) == (1 if name == EPISODES else 2)  # status reads the metrics too


def test_a_flipped_value_of_a_table_is_refused_by_its_checksum(run: Path) -> None:
    part = max((run / EPISODES).iterdir())
    chunks = pq.ParquetFile(part).metadata.row_group(0)
    columns = {chunks.column(index).path_in_schema: chunks.column(index) for index in range(chunks.num_columns)}
    returns = columns["episode_return"]
    content = bytearray(part.read_bytes())
    content[returns.dictionary_page_offset + returns.total_compressed_size - 1] ^= 1
    part.write_bytes(bytes(content))
    assert "is damaged (could not verify page integrity, CRC checksum verification failed" in (
        refusal(READERS["plot"], run) or ""
    )


def test_parts_of_other_names_and_types_are_read_as_what_they_hold(run: Path) -> None:
    """Somebody made one file of the parts, with other but fitting types, and put something beside it."""
    whole = read_curve(run, "env-steps")
    table = pq.read_table(run / EPISODES)
    for part in (run / EPISODES).iterdir():
        part.unlink()
    index = table.column_names.index("env_steps")
    table = table.set_column(index, "env_steps", table["env_steps"].cast(pa.float32()))
    pq.write_table(table, run / EPISODES / "all.parquet")
    (run / EPISODES / "notes.txt").write_text("x")
    (run / EPISODES / ".part-00001.parquet").write_text("half a part")
    assert read_curve(run, "env-steps").episode_x.tolist() == whole.episode_x.tolist()


def test_a_table_without_parts_is_named(run: Path) -> None:
    shutil.rmtree(run / EPISODES)
    (run / EPISODES).mkdir()
    with pytest.raises(BadInput, match=r"x .*run: its episodes.parquet has no parts yet"):
        read_table(run, EPISODES, "x", {"env_steps": "int64"})


# Networks


def refused(run: Path) -> str | None:
    said = refusal(lambda path: read_network(path, "evaluate"), run)
    assert said is None or f"its {Q_NETWORK} " in said
    return said


def is_whole(run: Path) -> bool:
    arrays = read_network(run, "evaluate")
    return list(arrays) == list(ARRAYS) and all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)


def test_no_flipped_byte_of_a_network_file_changes_what_is_played(run: Path) -> None:
    """Of the values, and of the container around them, which torch reads without a look at its checksums."""
    whole, rng = (run / Q_NETWORK).read_bytes(), random.Random(1)
    outcomes = {"refused": 0, "harmless": 0}
    for position in range(0, len(whole), 5):
        content = bytearray(whole)
        content[position] ^= rng.randrange(1, 256)
        (run / Q_NETWORK).write_bytes(bytes(content))
        if refused(run):
            outcomes["refused"] += 1
        else:
            assert is_whole(run), position
            outcomes["harmless"] += 1
    assert outcomes["refused"] > 200
    assert outcomes["harmless"] > 50  # dates, attributes and paddings


def test_an_attribute_that_torch_takes_for_a_folder_changes_no_value(run: Path) -> None:
    """Bit 4 of a record's external attributes: torch alone returns whatever lay in memory."""
    content = bytearray((run / Q_NETWORK).read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        directory = archive.start_dir
    content[directory + 38] |= 0x10
    (run / Q_NETWORK).write_bytes(bytes(content))
    assert is_whole(run)


def test_flipped_weights_are_refused_by_their_checksum(run: Path) -> None:
    content = bytearray((run / Q_NETWORK).read_bytes())
    place = bytes(content).index(ARRAYS["0.weight"].tobytes())
    content[place + 10] ^= 1
    (run / Q_NETWORK).write_bytes(bytes(content))
    for command, read in (("evaluate", READERS["evaluate"]), ("--initial-params", go_on)):
        with pytest.raises(BadInput, match=rf"{command} .*its q_network.pth is damaged \(Bad CRC-32 for file .*data/"):
            read(run)


def test_a_network_file_that_is_cut_anywhere_is_refused(run: Path) -> None:
    whole = (run / Q_NETWORK).read_bytes()
    for length in [*range(0, len(whole), 101), *range(len(whole) - 30, len(whole))]:
        (run / Q_NETWORK).write_bytes(whole[:length])
        assert "is damaged (" in (refused(run) or ""), length


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({name: tensor.to(torch.int64) for name, tensor in TENSORS.items()}, "(0.weight is torch.int64)"),
        ({name: tensor.to(torch.complex64) for name, tensor in TENSORS.items()}, "(0.weight is torch.complex64)"),
        ({**TENSORS, "2.bias": torch.tensor([1.0, float("nan")])}, "holds values that are no numbers, in 2.bias"),
        ({**TENSORS, "2.bias": torch.tensor([1.0, 1e300], dtype=torch.float64)}, "no numbers, in 2.bias"),
        ({**TENSORS, "0.weight": torch.zeros(16, 4, 1)}, "(not a chain of linear layers)"),
        ({**TENSORS, "2.bias": torch.tensor(1.0)}, "(not a chain of linear layers)"),
        (dict(reversed(TENSORS.items())), "(not a chain of linear layers)"),
        ({f"model.{name}": tensor for name, tensor in TENSORS.items()}, "(not a chain of linear layers)"),
        ({}, "(not a chain of linear layers)"),
        ({**TENSORS, "2.bias": TENSORS["2.bias"].to("meta")}, "holds no Q-network of this project ("),
        ({**TENSORS, "2.bias": "x"}, "holds no Q-network of this project (AttributeError)"),
        ({"model": TENSORS}, "holds no Q-network of this project (AttributeError)"),
        ([1, 2], "holds no Q-network of this project (AttributeError)"),
        (None, "holds no Q-network of this project (AttributeError)"),
        (torch.nn.Linear(4, 2), "is damaged or holds more than tensors; it was not loaded"),
        (
            {name: torch.zeros(shape) for name, shape in layer_shapes(4, (0,), 2).items()},
            "(not a chain of linear layers)",
        ),
    ],
)  # fmt: skip
def test_a_file_of_torch_with_something_else_in_it_is_refused(run: Path, state: Any, said: str) -> None:
    torch.save(state, run / Q_NETWORK)
    assert said in (refused(run) or "")


@pytest.mark.parametrize(
    "change",
    [lambda tensor: tensor.to(torch.float64), torch.nn.Parameter, lambda tensor: tensor.t().contiguous().t()],
    ids=["double", "parameter", "not contiguous"],
)
def test_a_network_that_was_saved_otherwise_is_the_same_one(
    run: Path, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    torch.save(
        {name: change(tensor) if tensor.ndim == 2 else tensor for name, tensor in TENSORS.items()}, run / Q_NETWORK
    )
    assert is_whole(run)


def test_archives_of_other_records_are_refused(run: Path) -> None:
    with zipfile.ZipFile(run / Q_NETWORK) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    pickled = next(name for name in records if name.endswith("data.pkl"))
    rng = random.Random(1)
    contents: list[dict[str, bytes]] = [{}, {"a.txt": b"x"}]
    contents += [{**records, pickled: records[pickled][:length]} for length in range(0, len(records[pickled]), 20)]
    for _ in range(40):
        flipped = bytearray(records[pickled])
        flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        contents.append({**records, pickled: bytes(flipped)})
    for content in contents:
        with zipfile.ZipFile(run / Q_NETWORK, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        refused(run)  # whatever its checksums say: no traceback
    with zipfile.ZipFile(run / Q_NETWORK, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(pickled, b"x" * 1000)
    assert "is compressed, which torch's are not" in (refused(run) or "")


def test_what_is_no_file_is_not_waited_for(run: Path) -> None:
    (run / Q_NETWORK).unlink()
    os.mkfifo(run / Q_NETWORK)
    assert "is no file" in (refused(run) or "")
