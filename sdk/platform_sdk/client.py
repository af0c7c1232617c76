"""The SDK's start, flush and end: one client per process, a new one after a fork.

Options and writer are imported by `init`, so that a process which only imports the SDK does not pay for them.
`current` is what application threads write to, None before `init` and after `close`.
"""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack

from platform_sdk import endings, loading
from platform_sdk.diagnostics import explained, note, note_each, unfailing
from platform_sdk.errors import OptionError

if TYPE_CHECKING:
    from platform_sdk.delivery.intake import Intake
    from platform_sdk.delivery.stats import Stats
    from platform_sdk.delivery.writer import Writer
    from platform_sdk.options import GivenOptions, Options

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

MOST_SECONDS = 1e9
"""The longest wait that Python's locks can still last."""

current: "Intake | None" = None

_writer: "Writer | None" = None
_options: "Options | None" = None
_ended: "tuple[int, Stats] | None" = None
"""The process that closed its client last, and what became of its events."""
_hooked = False


@unfailing(bool)
def init(
    dsn: "str | Sequence[str] | None" = None,
    app: str | None = None,
    release: str | None = None,
    **options: "Unpack[GivenOptions]",
) -> bool:
    """Start recording; return whether it is on. Never raises: what is wrong is logged.

    Of several stores in `dsn` the processes of an app on one host write to one (see `stores`).

    Without arguments the environment decides (PLATFORM_SDK_DSN, _DSN_FILE, _PASSWORD_FILE, _APP, _RELEASE and any
    option of `Options` in capitals). No connection is made here; the writer thread begins with the first event.
    A second call ends the first client, flushing it, and starts with the new options.
    """
    try:
        with loading.without_fork():
            from platform_sdk import options as settings
            from platform_sdk.capture import ownership
        ownership.started_by(sys._getframe(1))
        chosen = settings.read({"dsn": dsn, "app": app, "release": release, **options})
        for unknown in settings.unknown_variables():
            note_each("init", f"nothing reads {unknown}")
        for mistake in chosen.left_out:
            note_each("init", f"left out: {mistake}")
        integrations = checked(chosen)
        if _options is not None:
            close()
        if chosen.enabled:
            _begin(chosen)
            if integrations is not None:
                integrations.switch_on(chosen.integrations)
        return chosen.enabled
    except OptionError as error:
        note_each("init", f"nothing is recorded: {error}")
        return False


def active_options() -> "Options | None":
    """Return the options in force, None if the SDK is off. Integrations read theirs here."""
    return _options


@unfailing(bool)
def close(timeout_seconds: float | None = None) -> bool:
    """Stop recording: store what waits, or spool it if the database does not answer in time, and close everything.

    Return whether everything was stored. Blocks for at most `timeout_seconds` (None: the option
    exit_timeout_seconds). Runs at exit by itself.
    """
    global current, _writer, _options, _ended
    writer, chosen = _own_writer(), _options
    current = _writer = _options = None
    if writer is None or chosen is None:
        return True
    try:
        return writer.close(_seconds(timeout_seconds, chosen))
    finally:
        _ended = os.getpid(), writer.stats()


@unfailing(bool)
def flush(timeout_seconds: float = 2.0) -> bool:
    """Store everything emitted before this call; return whether that was done in time. Recording continues."""
    return _flush(timeout_seconds, spool=False)


@unfailing(bool)
def flush_now(timeout_seconds: float | None = None) -> bool:
    """Store or spool everything before this process ends without running `atexit`: Celery's children, RQ's os._exit.

    Blocks for at most `timeout_seconds` (None: the option exit_timeout_seconds).
    """
    return _flush(timeout_seconds, spool=True)


def _flush(timeout_seconds: float | None, *, spool: bool) -> bool:
    writer, chosen = _own_writer(), _options
    if writer is None or chosen is None:
        return True
    return writer.flush(_seconds(timeout_seconds, chosen), spool=spool)


def _seconds(given: float | None, chosen: "Options") -> float:
    """Return a timeout; for one that is none the option exit_timeout_seconds."""
    if isinstance(given, int | float) and given == given:
        return min(given, MOST_SECONDS)
    if given is not None:
        note("timeout_seconds", f"invalid {type(given).__name__} for timeout_seconds: expected a number of seconds")
    return chosen.exit_timeout_seconds


def _no_stats() -> "Stats":
    from platform_sdk.delivery.stats import Stats

    return Stats()


@unfailing(_no_stats)
def stats() -> "Stats":
    """Return this process's ledger (see `Stats`): after `close` the last one, all zero if the SDK was never on."""
    writer = _own_writer()
    if writer is not None:
        return writer.stats()
    return _ended[1] if _ended is not None and _ended[0] == os.getpid() else _no_stats()


def refuse(call: str, problem: Exception | str) -> None:
    """Count as dropped, and log, what a call that failed was to record; while the SDK is off only log it."""
    intake = current
    if intake is None:
        note(call, problem)
    else:
        intake.fail(call, problem)


def guarded(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Return a function that counts as dropped, and logs, what goes wrong in `function` or in calling it.

    It does nothing while the SDK is off.
    """
    return guarded_otherwise(None)(function)


def guarded_otherwise(
    otherwise: Result,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator as `guarded`, of functions that return something: `otherwise` where they do nothing."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            intake = current
            if intake is None:
                return otherwise
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - never into the application
                intake.fail(function.__name__, explained(error, function, args, kwargs))
                return otherwise

        return call

    return decorate


def checked(chosen: "Options") -> Any:
    """Return the module that switches integrations on, None where there is nothing for it to do.

    Raises OptionError for an option that could never work: what `init` refuses beside what `options.read` does.
    """
    from platform_sdk import options as settings

    for dsn in (chosen.dsn, *chosen.other_dsns):
        settings.check_dsn(dsn)
    name = "platform_sdk.integrations"
    if not chosen.integrations and name not in sys.modules:
        return None
    with loading.without_fork():
        module = import_module(name)  # above this module: it is not imported where it is not used
    module.check(chosen.integrations)
    return module


def _begin(chosen: "Options") -> None:
    global current, _writer, _options, _hooked
    with loading.without_fork():
        from platform_sdk.delivery.writer import Writer
    _options = chosen
    _writer = Writer(chosen, _take_over)
    current = _writer.intake
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_own_writer)
        endings.register(close)


def _own_writer() -> "Writer | None":
    """Return this process's writer. In a child it is new: the parent keeps its connection and what it has not stored.

    A hook after forks, but not every fork runs hooks: whoever needs the writer asks here. Never raises.
    """
    try:
        return None if _writer is None else _writer.of_this_process()
    except Exception as error:  # noqa: BLE001 - never into the application
        note("fork", error)
        return None


def _take_over(writer: "Writer") -> None:
    global current, _writer
    if _writer is not None and _writer.intake.foreign:
        _writer, current = writer, writer.intake
