"""Processes that end without a chance to store: their ledgers say how many events were lost with them."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import platform_sdk
from platform_sdk import client
from platform_sdk.delivery import pipeline, recovery, tally
from tests.sdk.events import Store, difference, serve
from tests.servers import TcpProxy, poll_until

Start = Callable[..., None]
Run = Callable[..., subprocess.Popen[str]]

ROOT = Path(__file__).parents[2]

# The first event is stored at once; what follows waits.
EMIT = """
serve(1); assert platform_sdk.flush(60)
serve(1234)
"""

SLOW = {"flush_interval_seconds": 60}


@pytest.fixture
def options(store: Store, tmp_path: Path) -> dict[str, Any]:
    """Return the options that all processes of a test share."""
    return {"dsn": store.dsn, "app": "shop", "spool_folder": str(tmp_path / "spool")}


@pytest.fixture
def run(options: dict[str, Any]) -> Run:
    """Return a function that starts a process which has initialised the SDK and then runs the code given."""

    def run_code(code: str, **more: object) -> subprocess.Popen[str]:
        text = "import os, platform_sdk, signal, sys, time\nfrom tests.sdk.events import serve\n"
        text += f"platform_sdk.init(**{ {**options, **more}!r})\n{textwrap.dedent(code)}"
        command = [sys.executable, "-c", text]
        return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    return run_code


@pytest.fixture
def successor(start: Start, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that starts the SDK here, where it looks for dead processes all the time."""
    monkeypatch.setattr(pipeline, "ADOPT_SECONDS", 0.05)
    monkeypatch.setattr(recovery, "STATEMENTS", 0)

    def begin(**given: object) -> None:
        start(flush_interval_seconds=0.05, **given)
        serve(1)

    return begin


def others(store: Store) -> list[tuple[int, int, dict[str, int]]]:
    """Return produced, stored and dropped of all processes but this one."""
    return store.database.execute(
        "SELECT produced, stored, dropped FROM monitoring.sdk_ledger WHERE process <> %(mine)s ORDER BY 1",
        {"mine": platform_sdk.stats()["process"]},
    )


def pages() -> list[Path]:
    """Return the pages of this test's processes."""
    options = client.active_options()
    assert options is not None
    return list(tally._folder(options).iterdir())


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os._exit(0)",
        "os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    ],
)
def test_lost_events_are_counted(store: Store, run: Run, successor: Start, end: str) -> None:
    """A later process enters them, exactly, and the ledger balances."""
    run(EMIT + end, **SLOW).communicate(timeout=100)
    successor()
    poll_until(lambda: others(store) == [(1235, 1, {"killed": 1234})])

    assert store.count() == 2


def test_nothing_is_lost_with_a_process_that_had_stored_all(store: Store, run: Run, successor: Start) -> None:
    """Its page is removed, and its ledger stays as it was."""
    run("serve(3); assert platform_sdk.flush(60); os._exit(0)", **SLOW).communicate(timeout=100)
    successor()
    poll_until(lambda: len(pages()) == 1)

    assert others(store) == [(3, 3, {})]


def test_child_that_ends_after_its_first_event(store: Store, run: Run, successor: Start) -> None:
    """Its thread may not even have run; its count is there all the same."""
    code = """
    serve(1); assert platform_sdk.flush(60)
    for _ in range(3):
        if os.fork() == 0:
            serve(1); serve(1); os._exit(0)
        os.wait()
    platform_sdk.close(60)
    """
    run(code, **SLOW).communicate(timeout=100)
    successor()

    def settled() -> bool:
        found = others(store)
        return len(found) == 4 and all(p == s + sum(d.values()) for p, s, d in found)

    poll_until(settled)

    assert sorted(produced for produced, _, _ in others(store)) == [1, 2, 2, 2]


@pytest.mark.parametrize("before", ["", "os.closerange(3, 1000)"], ids=["as it is", "all descriptors closed"])
def test_living_process_is_left_alone(store: Store, run: Run, successor: Start, before: str) -> None:
    """Also one that has lost its lock, as a daemon closes what it has inherited."""
    process = run(f"serve(5); time.sleep(1)\n{before}\nprint('ready', flush=True); input(); os._exit(0)", **SLOW)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    successor()
    poll_until(lambda: serve(1) or platform_sdk.stats()["stored"] > 20)
    assert len(pages()) == 2
    assert not [dropped for _, _, dropped in others(store) if dropped]
    process.communicate("\n", timeout=60)
    poll_until(lambda: len(pages()) == 1)

    assert sum(p - s - sum(d.values()) for p, s, d in others(store)) == 0


def test_not_before_what_was_sent_is_committed(
    store: Store, run: Run, successor: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement of the dead process may still run: it is waited for."""
    monkeypatch.setattr(recovery, "STATEMENTS", 1000)
    run(EMIT + "os._exit(0)", **SLOW).communicate(timeout=100)
    successor()
    poll_until(lambda: any(page.read_bytes()[16:24] != bytes(8) for page in pages()))
    poll_until(lambda: serve(1) or platform_sdk.stats()["stored"] > 20)

    assert others(store) == [(1, 1, {})]
    assert len(pages()) == 2


@pytest.mark.parametrize("event", ["platform_sdk.log_error('x')", "with platform_sdk.scraping_job(scraper='x'): pass"])
def test_errors_and_finished_jobs_are_stored_at_once(store: Store, run: Run, event: str) -> None:
    """However long the interval is: after a kill not even a moment's of them are missing."""
    process = run(f"serve(1); assert platform_sdk.flush(60); time.sleep(1)\n{event}\nserve(9); input()", **SLOW)
    poll_until(lambda: store.count("error") + store.count("scraping_run") == 1)
    process.kill()
    process.communicate(timeout=60)


def test_what_was_spooled_is_not_lost(
    store: Store, run: Run, successor: Start, options: dict[str, Any], tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """It is adopted first; lost is only what was in memory."""
    cable = tcp_proxy("127.0.0.1", store.database.server.port)
    cable.cut()
    dsn = store.dsn.replace(store.database.server.address, cable.address)
    run("serve(100); platform_sdk.flush_now(0.3); serve(7); os._exit(0)", dsn=dsn, **SLOW).communicate(timeout=100)
    cable.restore()
    successor(dsn=dsn)
    poll_until(lambda: others(store) == [(107, 100, {"killed": 7})])

    assert store.count() == 101


def test_end_in_order_leaves_nothing(store: Store, start: Start) -> None:
    """The page is removed with the ledger written."""
    start()
    serve(3)
    shared = tally._folder(client.active_options())  # type: ignore[arg-type]
    assert len(list(shared.iterdir())) == 1
    assert platform_sdk.close(60)

    assert not shared.exists()


def test_end_that_nobody_heard_of_leaves_the_count(store: Store, run: Run, successor: Start, tmp_path: Path) -> None:
    """With neither database nor disk at the end, a later process enters what was dropped."""
    code = "serve(1); assert platform_sdk.flush(60); serve(5)\n"
    code += "from platform_sdk.delivery.store import EventStore\nfrom platform_sdk.errors import UnavailableError\n"
    code += "def refuse(*_): raise UnavailableError('gone')\nEventStore._run = refuse\nplatform_sdk.close(1)"
    file = tmp_path / "spool"
    file.write_text("no folder")
    run(code, **SLOW).communicate(timeout=100)
    file.unlink()
    successor()
    poll_until(lambda: others(store) == [(6, 1, {"killed": 5})])

    assert difference() == 0


def test_without_memory_to_share_all_else_goes_on(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where there is no /dev/shm, as outside Linux."""
    monkeypatch.setattr(tally, "MEMORY", tmp_path / "nowhere")
    start()
    serve(3)
    assert platform_sdk.flush(60)

    assert store.count() == 3
