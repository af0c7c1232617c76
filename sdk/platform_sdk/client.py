"""The SDK's start, flush and end: one client per process, a new one after a fork.

Options and writer are imported by `init`, so that a process which only imports the SDK does not pay for them.
`current` is what application threads write to, None before `init` and after `close`.
"""

import atexit
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from platform_sdk import loading
from platform_sdk.diagnostics import note
from platform_sdk.errors import OptionError

if TYPE_CHECKING:
    from platform_sdk.delivery.intake import Intake
    from platform_sdk.delivery.writer import Writer
    from platform_sdk.options import Options

Parameters = ParamSpec("Parameters")

current: "Intake | None" = None

_writer: "Writer | None" = None
_options: "Options | None" = None
_hooked = False


def init(dsn: str | None = None, app: str | None = None, release: str | None = None, **options: Any) -> bool:
    """Start recording; return whether it is on. Never raises: what is wrong is logged.

    Without arguments the environment decides (PLATFORM_SDK_DSN, _DSN_FILE, _PASSWORD_FILE, _APP, _RELEASE and any
    option of `Options` in capitals). No connection is made here; the writer thread begins with the first event.
    A second call ends the first client, flushing it, and starts with the new options.
    """
    try:
        with loading.without_fork():
            from platform_sdk import options as settings
        chosen = settings.read({"dsn": dsn, "app": app, "release": release, **options})
        if _options is not None:
            close()
        if chosen.enabled:
            _begin(chosen)
        return chosen.enabled
    except OptionError as error:
        note("init", f"nothing is recorded: {error}")
    except Exception as error:  # noqa: BLE001 - never into the application
        note("init", error)
    return False


def active_options() -> "Options | None":
    """Return the options in force, None if the SDK is off. Integrations read theirs here."""
    return _options


def close(timeout_seconds: float | None = None) -> bool:
    """Stop recording: store what waits, or spool it if the database does not answer in time, and close everything.

    Return whether everything was stored. Blocks for at most `timeout_seconds` (None: the option
    exit_timeout_seconds). Runs at exit by itself.
    """
    global current, _writer, _options
    writer, chosen = _writer, _options
    current = _writer = _options = None
    if writer is None or chosen is None:
        return True
    try:
        return writer.close(chosen.exit_timeout_seconds if timeout_seconds is None else timeout_seconds)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("close", error)
        return False


def flush(timeout_seconds: float = 2.0) -> bool:
    """Store everything emitted before this call; return whether that was done in time. Recording continues."""
    return _flush(timeout_seconds, spool=False)


def flush_now(timeout_seconds: float | None = None) -> bool:
    """Store or spool everything before this process ends without running `atexit`: Celery's children, RQ's os._exit.

    Blocks for at most `timeout_seconds` (None: the option exit_timeout_seconds).
    """
    return _flush(timeout_seconds, spool=True)


def _flush(timeout_seconds: float | None, *, spool: bool) -> bool:
    writer, chosen = _writer, _options
    if writer is None or chosen is None:
        return True
    try:
        return writer.flush(chosen.exit_timeout_seconds if timeout_seconds is None else timeout_seconds, spool=spool)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("flush", error)
        return False


def stats() -> dict[str, Any]:
    """Return this process's ledger, all zero if the SDK is off.

    Keys: process, produced, stored, spooled, buffered, dropped (reason -> events), adopted (events of dead processes
    that this one stored; not among the others). Once no thread emits,
    `produced == stored + spooled + buffered + sum(dropped.values())`.
    """
    writer = _writer
    if writer is not None:
        return writer.stats()
    return {"process": "", "produced": 0, "stored": 0, "spooled": 0, "buffered": 0, "dropped": {}, "adopted": 0}


def guarded(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Return a function that counts as dropped, and logs, what goes wrong in `function` or in calling it.

    It does nothing while the SDK is off.
    """

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        intake = current
        if intake is None:
            return
        try:
            function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - never into the application
            intake.fail(function.__name__, error)

    return call


def _begin(chosen: "Options") -> None:
    global current, _writer, _options, _hooked
    with loading.without_fork():
        from platform_sdk.delivery.writer import Writer
    _options = chosen
    _writer = Writer(chosen)
    current = _writer.intake
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_after_fork)
        atexit.register(close)


def _after_fork() -> None:
    """Replace the writer in a child: the parent keeps its connection, and what it has not stored yet."""
    global current, _writer
    try:
        if _options is None or _writer is None:
            return
        _writer.abandon()
        _writer = type(_writer)(_options)
        current = _writer.intake
    except Exception as error:  # noqa: BLE001 - never into the application
        note("fork", error)
