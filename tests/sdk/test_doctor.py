"""`python -m platform_sdk doctor` says what is wrong, where, and what to do; it leaves nothing behind."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from platform_sdk.events import EVENTS
from tests.sdk.events import Store
from tests.servers import TcpProxy
from tools.stack.ports import free_port

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-never-shown"

Doctor = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def role(store: Store) -> Any:
    """Return a role that may add events and read none."""
    name = f"shop_{os.getpid()}"
    store.database.execute(f"CREATE ROLE {name} LOGIN IN ROLE platform_writer")
    yield name
    store.database.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def dsn(store: Store, role: str) -> str:
    """Return the DSN of that role."""
    return f"postgresql://{role}:{SECRET}@{store.database.server.address}/{store.database.name}"


@pytest.fixture
def doctor(dsn: str, tmp_path: Path) -> Doctor:
    """Return a function that runs the doctor: exit status, verdict and text by subject, and all it printed."""

    def run(*arguments: str, **environment: str) -> tuple[int, dict[str, str], str]:
        done = subprocess.run(
            [sys.executable, "-m", "platform_sdk", "doctor", *arguments], cwd=ROOT / "sdk", text=True, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={
                "PATH": os.environ["PATH"], "PLATFORM_SDK_DSN": dsn, "PLATFORM_SDK_APP": "shop",
                "PLATFORM_SDK_SPOOL_FOLDER": str(tmp_path / "spool"), **environment,
            },
        )  # fmt: skip
        found = {}
        for line in done.stdout.splitlines():
            verdict, subject, text = line[:5].strip(), *line[7:].split(maxsplit=1)
            found[subject] = f"{verdict}: {text}"
        assert SECRET not in done.stdout
        return done.returncode, found, done.stdout

    return run


def test_everything_is_fine(doctor: Doctor, store: Store) -> None:
    """Every line is ok, and no row is left behind."""
    status, found, printed = doctor()

    assert status == 0, printed
    assert all(text.startswith("ok: ") for text in found.values()), printed
    assert {"options", "spool", "connection", "clock", "schema", "rights", "partitions", "test"} <= set(found)
    assert [store.count(kind.name) for kind in EVENTS] == [0] * len(EVENTS)
    assert store.count("sdk_ledger") == store.count("batch") == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ((), {"PLATFORM_SDK_APP": ""}, "missing option 'app': call init(app=...) or set PLATFORM_SDK_APP"),
        ((), {"PLATFORM_SDK_BATCH_EVENTS": "many"}, "invalid 'many' for PLATFORM_SDK_BATCH_EVENTS"),
        ((), {"PLATFORM_SDK_INTEGRATIONS": "auto,foo"}, "FAIL   options      invalid 'foo' for integrations: expected"),
        ((), {"PLATFORM_SDK_DSN": f"mysql://a:{SECRET}@c/d"}, "expected postgresql://<user>@<host>:<port>/<database> "),
        ((), {"PLATFORM_SDK_DSN": "hello"}, "FAIL   options      invalid value for dsn (not shown): expected postgres"),
        (("--colour",), {}, "unrecognized arguments: --colour"),
    ],
)
def test_wrong_usage(doctor: Doctor, arguments: tuple[str, ...], environment: dict[str, str], said: str) -> None:
    """Exit status 2, and what was expected."""
    status, _, printed = doctor(*arguments, **environment)

    assert status == 2
    assert said in printed


def test_no_server(doctor: Doctor) -> None:
    """Nobody listens at that port."""
    status, found, _ = doctor(PLATFORM_SDK_DSN=f"postgresql://shop:{SECRET}@127.0.0.1:{free_port()}/platform")

    assert status == 1
    assert found["connection"].startswith("FAIL: ")
    assert found["connection"].endswith("check host and port in the DSN, and that it runs")


def test_a_server_that_does_not_answer(
    doctor: Doctor, store: Store, dsn: str, tcp_proxy: Callable[[str, int], TcpProxy]
) -> None:
    """It gives up after the timeout."""
    host, port = store.database.server.address.split(":")
    proxy = tcp_proxy(host, int(port))
    proxy.blackhole()
    there = dsn.replace(store.database.server.address, proxy.address)
    status, found, _ = doctor(PLATFORM_SDK_DSN=there, PLATFORM_SDK_CONNECT_TIMEOUT_SECONDS="0.5")

    assert status == 1
    assert found["connection"].startswith("FAIL: ")


def test_malformed_dsn(doctor: Doctor) -> None:
    """It is not shown, wherever it stands in a list."""
    good = "postgresql://shop@127.0.0.1:1/platform"
    for malformed in (f"shop:{SECRET}@@host:port/x", f"shop:{SECRET}/2@h/x", "127.0.0.1:nope/p"):
        for dsns in (f"postgresql://{malformed}", f"{good}\npostgresql://{malformed}"):
            status, found, printed = doctor(PLATFORM_SDK_DSN=dsns)

            assert status == 2
            assert "invalid value for dsn (not shown): expected postgresql://<user>@<host>" in found["options"]
            assert SECRET not in printed


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("require", "the server has no TLS: switch it on there, or set sslmode=prefer in the DSN"),
        ("verify-full", "the server has no TLS"),
        ("maybe", "set sslmode in the DSN to disable, allow, prefer, require, verify-ca or verify-full"),
    ],
)
def test_tls_that_the_server_has_not(doctor: Doctor, dsn: str, mode: str, said: str) -> None:
    """The advice is about sslmode."""
    status, found, _ = doctor(PLATFORM_SDK_DSN=f"{dsn}?sslmode={mode}")

    assert status == 1
    assert said in found["connection"]


@pytest.mark.parametrize(("name", "said"), [("nobody", 'role "nobody" does not exist'), ("", "nodb")])
def test_unknown_role_or_database(doctor: Doctor, dsn: str, role: str, name: str, said: str) -> None:
    """The server's own words, and what to do."""
    there = dsn.replace(role, name) if name else f"{dsn.rpartition('/')[0]}/nodb"
    status, found, _ = doctor(PLATFORM_SDK_DSN=there)

    assert status == 1
    assert said in found["connection"]
    assert found["connection"].endswith("create the role or database, or correct the DSN")


def test_no_schema(doctor: Doctor, store: Store) -> None:
    """The command to run."""
    store.database.execute("ALTER SCHEMA monitoring RENAME TO elsewhere")
    status, found, _ = doctor()

    assert status == 1
    assert found["schema"] == (
        "FAIL: schema monitoring is missing: run `platform-exporter schema apply` of this version"
    )
    assert "test" not in found
    assert found["rights"] == found["partitions"] == "?: not checked: there are no tables"


def test_an_older_schema(doctor: Doctor, store: Store) -> None:
    """Which columns it lacks."""
    store.database.execute(
        "ALTER TABLE monitoring.error DROP COLUMN job_id CASCADE; DROP TABLE monitoring.sample CASCADE"
    )
    _, found, _ = doctor()
    assert "lacks sample: run `platform-exporter schema apply`" in found["schema"]

    store.database.execute("CREATE TABLE monitoring.sample (at timestamptz)")
    status, found, _ = doctor()

    assert status == 1
    assert "older than this SDK, and lacks error.job_id, sample.app" in found["schema"]


def test_rights(doctor: Doctor, store: Store, role: str) -> None:
    """Which are missing, and the statement that gives them."""
    store.database.execute(f"REVOKE platform_writer FROM {role}")
    status, found, _ = doctor()
    assert status == 1
    assert "may not use schema monitoring" in found["rights"]
    assert found["rights"].endswith(f'run: GRANT platform_writer TO "{role}";')

    store.database.execute(f"GRANT USAGE ON SCHEMA monitoring TO {role}; GRANT INSERT ON monitoring.error TO {role}")
    _, found, _ = doctor()
    assert "may not add to http_request, api_call" in found["rights"]
    assert "error" not in found["rights"]


def test_partitions(doctor: Doctor, store: Store) -> None:
    """Where there is none of today rows wait elsewhere: the exporter does not run."""
    day = store.database.execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')")[0][0]
    store.database.execute(f"DROP TABLE monitoring.error_{day}")
    status, found, _ = doctor()

    assert status == 1
    assert found["partitions"].startswith("to do: none of today for error: start the exporter")


def test_rows_that_are_refused(doctor: Doctor, store: Store) -> None:
    """By a trigger of someone's, for example."""
    store.database.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not today'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON monitoring.api_call FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    status, found, _ = doctor()

    assert status == 1
    assert "the database refuses them: not today" in found["test"]


def test_spool_that_cannot_be_used(doctor: Doctor, tmp_path: Path) -> None:
    """A file in its place, or a folder that others may write to."""
    (tmp_path / "file").write_text("")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    for name in ("file", "open"):
        status, found, _ = doctor(PLATFORM_SDK_SPOOL_FOLDER=str(tmp_path / name))
        assert status == 1
        assert found["spool"].startswith("FAIL: ")
        assert "no other may write to" in found["spool"]


def test_batches_of_others(doctor: Doctor, tmp_path: Path) -> None:
    """What waits for another application or database is said; a folder of our own is not left behind."""
    other = tmp_path / "spool/0123/77-1"
    other.mkdir(parents=True)
    tmp_path.joinpath("spool").chmod(0o700)
    (other / "1-5-x.batch").write_bytes(b"x")
    status, found, _ = doctor()
    assert status == 1
    assert "holds 1 batches of another application or database" in found["spool"]

    other.rename(other.with_name("corrupt"))
    _, found, _ = doctor()
    assert "holds 1 files that could not be read" in found["spool"]
    assert len(list(tmp_path.glob("spool/*/*"))) == 1


def test_batches_of_another_application(doctor: Doctor, tmp_path: Path) -> None:
    """They are its own affair: information that names it."""
    other = tmp_path / "spool/0123/77-1"
    other.mkdir(parents=True)
    tmp_path.joinpath("spool").chmod(0o700)
    (other / "1-5-x.batch").write_bytes(b"x")
    (other / "store.json").write_text('{"app": "billing", "store": "db:5432/platform"}')
    status, found, printed = doctor()

    assert status == 0, printed
    assert found["spool"].startswith("ok: ")
    assert found["spool"].endswith("; 1 batch of app billing waiting for a process of it")


def test_integrations(doctor: Doctor) -> None:
    """What is installed, and what init would switch on."""
    _, found, _ = doctor()
    assert 'switches on none: integrations="auto" does; installed, too: django, starlette' in found["integrations"]

    _, found, _ = doctor(PLATFORM_SDK_INTEGRATIONS="requests")
    assert found["integrations"].startswith("ok: init() switches on requests; installed, too: django")
