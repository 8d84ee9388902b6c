"""Makes the environment once, describes it and tries it, in a process that can hang, crash or leave something behind.

Out:  described()     what the environment is, as soon as it is made
      tried()         what is wrong with it, after a reset and a few steps

On Linux the process is forked while this one has a single thread: that costs milliseconds, and what is imported by then
need not be imported again. Elsewhere it starts anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TextIO

from common.config import BadInput, Config, RunConfig
from common.env_args import copies
from common.environment import describe, own_class
from common.hearing import format_warning, plain
from common.seeding import seed_sequence
from common.single_environment import make_single, shown_setting, why_not_made
from common.types import EnvironmentSpec
from common.user_code import blame, in_user_code
from driver.probe.checks import try_out
from driver.signals import EXIT_CODES, THREAD, StoppedEarly, StopSignals

_TRY_SECONDS = 10.0  # for a reset and a few steps
_LOOK_SECONDS = 0.1  # between looks for a signal
_MOST_LINES = 5  # of what it printed
_LAST_LINES = 3  # of that, where it failed
_MOST_BYTES = 100_000


class Failed(NamedTuple):
    """Why nothing can come of it."""

    text: str  # a whole line


class Tried(NamedTuple):
    """What the user should know."""

    complaints: list[str]  # whole lines
    heard: list[str]  # what the environment's code warned of and printed


class Probe:
    """The process, as the driver holds it."""

    def __init__(self, connection: Connection, process: Any, output: str, run: RunConfig, signals: StopSignals) -> None:
        """`output`: the file that what is printed goes to."""
        self._connection = connection
        self._process = process
        self._output = output
        self._run = run
        self._signals = signals
        self._tried_from = 0.0

    def described(self) -> EnvironmentSpec:
        """Waits for it. Raises BadInput where it cannot be made or used here."""
        patience = self._run.ready_seconds
        message = self._next(patience)
        if message is None:
            raise BadInput(
                f"{_setting(self._run)}: was not made within {patience:g} s; wait longer with --ready-seconds"
            )
        assert isinstance(message, EnvironmentSpec)
        self._tried_from = time.monotonic()
        return message

    def tried(self, patience: float | None = None) -> Tried | None:
        """What the user should know; None where that is not known within `patience` seconds.

        Without `patience` it waits as long as the trial may take. Raises BadInput where learning cannot work.
        """
        left = self._tried_from + _TRY_SECONDS - time.monotonic()
        message = self._next(max(0.0, left) if patience is None else patience)
        if message is None and patience is None:
            took = (
                f"{_setting(self._run)}: a reset and some steps took more than {_TRY_SECONDS:g} s: it is slow, or it "
                "hangs; the run waits for it"
            )
            message = Tried(complaints=[took], heard=[])
        if message is None:
            return None
        assert isinstance(message, Tried)
        self.close()
        return message._replace(heard=[*message.heard, *_shortened(_lines(self._output))])

    def close(self) -> None:
        """Ends the process with all that it has started."""
        if self._process is None:
            return
        self._process.join(timeout=0.0)
        with suppress(ProcessLookupError, PermissionError):  # nobody is left in its group, or it has none yet
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._process = None

    def _next(self, patience: float) -> Any:
        """The next message, or None after so many seconds. Raises BadInput and StoppedEarly."""
        deadline = time.monotonic() + patience
        while not self._connection.poll(max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic()))):
            if self._signals.received is not None:
                raise StoppedEarly(self._signals.received)
            if time.monotonic() >= deadline:
                return None
        try:
            message = self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            message = Failed(f"{_setting(self._run)}: the process that tried it was ended by {how}")
        if isinstance(message, Failed):
            said = [line for line in _lines(self._output) if line not in message.text][-_LAST_LINES:]
            raise BadInput(message.text + (f"; before that it printed: {' | '.join(said)}" if said else ""))
        return message


@contextmanager
def probing(config: Config, signals: StopSignals) -> Iterator[Probe]:
    """While it lasts, the environment is tried."""
    run = config.run
    copy = copies(config.actor.actors * config.actor.envs_per_actor).probe
    others = {thread.name for thread in threading.enumerate() if thread is not threading.main_thread()}
    alone = sys.platform == "linux" and others <= {THREAD}  # which holds nothing that a forked process would miss
    context: Any = multiprocessing.get_context("fork" if alone else "spawn")
    ours, theirs = context.Pipe()
    with _file_for_output() as output:
        process = context.Process(target=_work, args=(theirs, ours if alone else None, output, run, copy), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that threads of numerical libraries do not fork
            process.start()
        theirs.close()
        probe = Probe(ours, process, output, run, signals)
        try:
            yield probe
        finally:
            probe.close()


@contextmanager
def _file_for_output() -> Iterator[str]:
    """Where there is no room for one, what the environment prints goes nowhere."""
    try:
        file = tempfile.NamedTemporaryFile(prefix="dqn-probe-")  # noqa: SIM115  it is closed below
    except OSError:
        yield os.devnull
        return
    with file:
        yield file.name


def _work(connection: Connection, other_end: Connection | None, output: str, run: RunConfig, copy: int) -> None:
    """The life of the process."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, EXIT_CODES)
    if other_end is not None:
        other_end.close()
    threading.Thread(target=_end_with_the_driver, args=(connection,), daemon=True).start()
    _redirect(output)
    heard: list[str] = []
    _keep_warnings(heard)
    for message in trial(run, copy, heard):
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(message)
    os._exit(0)  # whatever threads the environment has left


def trial(run: RunConfig, copy: int, heard: Sequence[str]) -> Iterator[EnvironmentSpec | Failed | Tried]:
    """What the process tells of copy number `copy`, in this order; after a Failed nothing more.

    `heard`: warnings, as they come.
    """
    try:
        env = make_single(run.env, run.env_args, copy, wrapper=run.env_wrapper)
        spec = describe(run.env, env, run.env_args, run.env_wrapper)
    except BadInput as error:
        yield Failed(str(error))
        return
    except (Exception, KeyboardInterrupt) as error:  # a user's code may raise anything
        yield Failed(why_not_made(run.env, run.env_args, error))
        return
    own = own_class(spec, env, copy)
    yield spec._replace(vectorised=own.used)
    passed_over = [f"single ones side by side, and not its vectorised class: {own.why_not}"] if own.why_not else []
    try:
        warned = passed_over + try_out(env, seed_sequence(run.seed, "probe"))
    except (Exception, KeyboardInterrupt) as error:  # as above
        why = blame(error) if in_user_code(error) else " ".join(str(error).split()).removeprefix(f"{run.env}: ")
        yield Failed(f"{_setting(run)}: {why}")
        return
    try:
        env.close()
    except (Exception, KeyboardInterrupt) as error:  # as above; nothing is learnt from a close
        warned.append(f"close raised {blame(error)}")
    yield Tried([f"{_setting(run)}: {line}" for line in warned], list(heard))


def _lines(output: str) -> list[str]:
    """What was printed, each line once; nothing where somebody has emptied the temporary folder."""
    try:
        with open(output, "rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError:
        return []
    lines = [plain(line.decode(errors="replace")) for line in content.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def _shortened(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
    return [*lines[:_MOST_LINES], *more]


def _keep_warnings(heard: list[str]) -> None:
    def keep(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = format_warning(message, category, filename, lineno).strip("\0\n")
        if text not in heard:
            heard.append(text)

    warnings.showwarning = keep


def _redirect(output: str) -> None:
    """What is printed, by whatever library, goes to a file."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))


def _end_with_the_driver(connection: Connection) -> None:
    with suppress(OSError, EOFError):
        connection.recv()  # nothing ever comes but the end
    os._exit(1)


def _setting(run: RunConfig) -> str:
    return shown_setting(run.env, run.env_args, run.env_wrapper)
