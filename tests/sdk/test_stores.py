"""Several event stores: an app's processes on a host write to one, and what is spooled for another goes there."""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import platform_sdk
from platform_sdk import client, diagnostics, options, stores
from platform_sdk.delivery import spool
from platform_sdk.errors import OptionError
from tests.sdk.events import Store, difference, serve
from tests.servers import PATIENCE_SECONDS, TcpProxy, fresh_database, poll_until
from tools.stack.servers import Postgres

Start = Callable[..., None]

DSNS = [f"postgresql://app:secret{n}@db{n}:5432/platform" for n in range(3)]
FIRST = [0, 1, 1, 1, 2, 0, 1, 0, 0, 1, 2, 1]
"""The stores of the first apps, by number."""
APPS = [f"app{n}" for n in range(300)]

OF_ONE_THAT_DIES = """
import os, sys, platform_sdk
from tests.sdk.events import serve
platform_sdk.init(dsn=sys.argv[1], app=sys.argv[2], spool_folder=sys.argv[3], flush_interval_seconds=60)
serve(10)
platform_sdk.flush_now(0.3)
os._exit(0)
"""


@pytest.fixture
def pair(postgres: Postgres, store_template: str) -> Iterator[list[Store]]:
    """Return two event stores."""
    with fresh_database(postgres, store_template) as first, fresh_database(postgres, store_template) as second:
        yield [Store(first), Store(second)]


def app_of(dsns: list[str], place: int) -> str:
    """Return an app whose store on this host is that one."""
    return next(app for app in APPS if stores.chosen(dsns, app, socket.gethostname()) == dsns[place])


def test_a_store_is_chosen_by_app_and_host() -> None:
    """The order of the list, users and passwords do not matter; all stores get their share, and hosts differ."""
    chosen = [stores.chosen(DSNS, app, "host") for app in APPS]
    renamed = [dsn.replace("app:secret", "other:secret9") for dsn in DSNS]
    counts = Counter(chosen)

    assert [stores.chosen(DSNS[::-1], app, "host") for app in APPS] == chosen
    assert [renamed.index(stores.chosen(renamed, app, "host")) for app in APPS] == [DSNS.index(dsn) for dsn in chosen]
    assert all(70 < counts[dsn] < 130 for dsn in DSNS)
    assert [stores.chosen(DSNS, app, "another") for app in APPS] != chosen


def test_the_choice_is_the_same_in_every_version() -> None:
    """Processes of two versions of the SDK write to the same store."""
    assert [DSNS.index(stores.chosen(DSNS, app, "host")) for app in APPS[:12]] == FIRST


def test_only_what_gets_the_new_store_moves() -> None:
    """A third store takes its share of both, and nothing moves between the first two."""
    before = [stores.chosen(DSNS[:2], app, "host") for app in APPS]
    after = [stores.chosen(DSNS, app, "host") for app in APPS]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]

    assert set(moved) == {DSNS[2]}
    assert 70 < len(moved) < 130


@pytest.mark.parametrize(
    ("dsn", "name"),
    [
        ("postgresql://u:p@h:5433/d?sslmode=require", "h:5433/d"),
        ("postgres://h/d", "h:5432/d"),
        ("postgresql://u@[::1]:5433/d", "[::1]:5433/d"),
        ("postgresql:///d?host=/run/pg&user=u", "/run/pg:5432/d"),
        ("host=h user=u password='a b' port=5433 dbname=d", "h:5433/d"),
        ("service=events", "service events"),
        ("postgresql://u:hunter?2@h/d", "h:5432/d"),
        ("postgresql://h1:1,h2:2/d", "h1:1,h2:2/d"),
        ("user=u password=hunter2", "the default server"),
        (r"host=h dbname=d password=a\ dbname=hunter2", "h:5432/d"),
        ("host=h dbname=d password=a&dbname=hunter2", "h:5432/d"),
    ],
)
def test_a_store_is_known_by_its_place(dsn: str, name: str) -> None:
    """Two spellings of one place are one store; neither user nor password is in its name."""
    assert stores.name(dsn) == name
    assert stores.listed([dsn, dsn.replace("u", "u")], "") == (dsn,)


@pytest.mark.parametrize("between", [" ", "\n", " \n\n  ", ",", ", ", " ,\n"])
def test_a_list_in_the_environment(between: str) -> None:
    """Several URLs with blanks or lines between them, as in a file of secrets, or with commas, as in other lists."""
    read = options.read({"app": "shop"}, {"PLATFORM_SDK_DSN": between.join(DSNS)})

    assert {read.dsn, *read.other_dsns} == set(DSNS)
    assert read.dsn == stores.chosen(DSNS, "shop", socket.gethostname())
    assert "secret" not in repr(read)


@pytest.mark.parametrize(
    "dsn",
    [
        "host=h dbname=d", "postgresql://h/d?options=-c%20a", "postgresql://h1:1,h2:2/db", "postgresql://u:a,b@h1,h2/d",
        "host=h1,h2 port=1,2 dbname=d",
    ],
)  # fmt: skip
def test_one_store_is_no_list(dsn: str) -> None:
    """Blanks between the keys of a DSN are not separators, nor are commas between hosts or in a password."""
    read = options.read({"dsn": dsn, "app": "shop"}, {})

    assert (read.dsn, read.other_dsns) == (dsn, ())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dsn": []}, "missing option 'dsn'"),
        ({"dsn": ["postgresql://h/d", ""]}, r"invalid value for dsn \(not shown\)"),
        ({"dsn": DSNS, "adopt_stores": ["old:5432/d"]}, "invalid adopt_stores beside several stores"),
    ],
)
def test_a_list_that_cannot_be_used(given: dict[str, list[str]], said: str) -> None:
    """An empty one, one with a hole, one beside stores that one of them replaces: which one would be a guess."""
    with pytest.raises(OptionError, match=said):
        options.read({"app": "shop", **given}, {})


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://h/hunter2",
        "postgresql://u:hunter2@h/d;postgresql://u:hunter2@h2/d",
        "postgresql://u:hunter2@h/d|postgresql://u:hunter2@h2/d",
        "postgresql://u:hunter2@h/dpostgresql://u:hunter2@h2/d",
        "postgresql://u:hunter2@h/d,mysql://u:hunter2@h2/d",
        "postgresql://u:hunter2@h/d,",
        "postgresql://u:hunter2@h/d,h2/d@x",
        "host=h dbname=d,postgresql://u:hunter2@h2/d",
        "host=h dbname=d postgresql://u:hunter2@h2/d",
        "host=u:hunter2@h dbname=d",
        "host=h port=hunter2",
        "postgresql://u:hun/hunter2@h:1/d",
        "postgresql://u:1/hunter2@h:1/d",
        "postgresql://u:1/d?hunter2@h:1/d",
        "postgresql://u:p@hunter2@h:1/d",
        "postgresql://u:1?hunter2=2@h:nope/d",
        "postgresql://u:hunter2%@h/d",
        "postgresql://u%3Ahunter2%40h/d",
        "postgresql://hunter2:nope/d",
        "postgresql://h/d?port=hunter2",
        "postgresql://[::1:5432/hunter2",
        "postgresql://h/d user=u password=hunter2",
        "postgresql://h/e;user=u;password=hunter2",
        "postgresql://u:hunter2%zz@h/e",  # as a place it is the one beside it
    ],
)
def test_each_malformed_store_is_refused(dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """At the start, alone or in a list, whichever is chosen; the log says so once and shows nothing of it."""
    for dsns in (dsn, [dsn], ["postgresql://h/e", dsn], [dsn, "postgresql://h/e"]):
        caplog.clear()
        diagnostics._last.clear()

        assert not platform_sdk.init(dsn=dsns, app="shop")
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith("init: nothing is recorded: invalid value for dsn (not shown): expected ")
        assert "hunter2" not in caplog.text
    assert stores.name(dsn) == ("the default server" if dsn.startswith("mysql") else "a store with an invalid DSN")


def test_a_password_in_a_name_that_was_spooled(tmp_path: Path) -> None:
    """Earlier versions wrote names that held one: the folder's name is shown instead."""
    folder = tmp_path / "0123" / "77-1"
    folder.mkdir(parents=True)
    for name in ("h:5432/p+postgresql://u:hunter2@h2:2/p", "u:hun:5432/ter2@h:1/p"):
        (folder / "store.json").write_text(json.dumps({"app": "shop", "store": name}))

        assert spool.owner(folder.parent) == ("shop", "0123")


def test_an_app_writes_to_one_store(pair: list[Store], start: Start) -> None:
    """Each app has all of its events in the store chosen for it, and its ledger there."""
    dsns = [store.dsn for store in pair]
    for place in (0, 1):
        start(dsn=dsns, app=app_of(dsns, place))
        serve(10 + place)
        assert platform_sdk.flush(60)
        assert platform_sdk.close()

    assert [store.count() for store in pair] == [10, 11]
    assert [store.ledger()["stored"] for store in pair] == [10, 11]


def test_what_one_store_misses_no_other_gets(
    pair: list[Store], start: Start, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    """While its store does not answer an app's events wait, in memory and on disk, and follow when it is back."""
    server = pair[1].database.server
    cable = tcp_proxy(server.host, server.port)
    dsns = [pair[0].dsn, pair[1].dsn.replace(server.address, cable.address)]
    cable.cut()
    start(dsn=dsns, app=app_of(dsns, 1), flush_interval_seconds=0.05, retry_seconds=0.1, pending_bytes=0)
    serve(10)
    poll_until(lambda: platform_sdk.stats().spooled == 10)
    assert [store.count() for store in pair] == [0, 0]
    cable.restore()
    poll_until(lambda: pair[1].count() == 10)
    assert platform_sdk.flush(60)

    assert [store.count() for store in pair] == [0, 10]
    assert difference() == 0


def test_events_that_a_dead_process_left_for_another_store(
    pair: list[Store],
    start: Start,
    tcp_proxy: Callable[..., TcpProxy],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They wait while it is away, and are stored there: not where this process writes, as it may have them already."""
    server = pair[1].database.server
    cable = tcp_proxy(server.host, server.port)
    dsns = [pair[0].dsn, pair[1].dsn.replace(server.address, cable.address)]
    app = app_of(dsns, 0)
    cable.cut()
    for _ in range(2):
        argv = [sys.executable, "-c", OF_ONE_THAT_DIES, dsns[1], app, str(tmp_path / "spool")]
        subprocess.run(argv, check=True, timeout=PATIENCE_SECONDS, cwd=Path(__file__).parents[2], env=os.environ)
    start(dsn=dsns, app=app, flush_interval_seconds=0.05)
    serve(1)
    poll_until(lambda: "what dead processes left for it waits" in caplog.text)
    assert "adopt_stores" not in caplog.text
    cable.restore()
    writer = client._writer
    assert writer is not None
    writer._pipeline._adopt_at = 0.0  # not in half a minute
    poll_until(lambda: platform_sdk.stats().adopted == 20)
    poll_until(lambda: writer._pipeline.other_stores[0].store._connection is None)

    assert [store.count() for store in pair] == [1, 20]
    ledgers = pair[1].database.execute("SELECT produced, stored, spooled FROM monitoring.sdk_ledger")
    assert ledgers == [(10, 10, 0), (10, 10, 0)]
    assert not list((tmp_path / "spool").glob("*/*/*.batch"))


def test_doctor_names_the_store(pair: list[Store], tmp_path: Path) -> None:
    """It says which store is that of this app and host, and checks it."""
    dsns = [store.dsn for store in pair]
    environment = {
        "PLATFORM_SDK_DSN": "\n".join(dsns), "PLATFORM_SDK_APP": app_of(dsns, 1),
        "PLATFORM_SDK_SPOOL_FOLDER": str(tmp_path / "spool"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "platform_sdk", "doctor"], text=True, timeout=PATIENCE_SECONDS, capture_output=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    database = pair[1].database

    assert f"{database.server.address}/{database.name} is that of this app and host" in done.stdout
    assert f"database {database.name}" in done.stdout
