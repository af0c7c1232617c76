"""Real servers: every request they answered is stored after they were asked to end, by each of their processes."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.servers import PATIENCE_SECONDS, Database, poll_until
from tools.stack.ports import free_port

ROOT = Path(__file__).parents[2]
CLIENTS, REQUESTS = 8, 20


class Server:
    """Run a server's own command."""

    def __init__(self, store: Database, spool: Path, *command: str) -> None:
        self.port = free_port()
        environment = {
            **os.environ,
            "PLATFORM_SDK_DSN": store.dsn, "PLATFORM_SDK_APP": "shop", "PLATFORM_SDK_SPOOL_FOLDER": str(spool),
            "PLATFORM_SDK_EXIT_TIMEOUT_SECONDS": "60", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.log = spool.with_suffix(".log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [part.replace("PORT", str(self.port)) for part in command],
                cwd=ROOT, env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        poll_until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/-/ready") == 404  # left out
        except OSError:
            return False

    def get(self, path: str) -> int:
        status, _ = self.fetch(path)
        return status

    def fetch(self, path: str) -> tuple[int, str]:
        """Return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def leave(self, path: str) -> None:
        """Ask for a response and leave in the middle of it."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(1000)

    def ask(self, processes: int) -> int:
        """Make many requests at the same time, again until so many processes have answered; return how many."""
        answered: list[tuple[int, str]] = []

        def work() -> None:
            answered.extend(self.fetch(f"/items/{number}") for number in range(REQUESTS))

        def all_processes_answered() -> bool:
            expected = len(answered) + CLIENTS * REQUESTS
            threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(answered) == expected, self.log.read_text()
            return len({process for _, process in answered}) == processes

        poll_until(all_processes_answered)
        assert {status for status, _ in answered} == {200}
        return len(answered)

    def end(self) -> None:
        """Ask it to end, as a supervisor does, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise


Start = Callable[..., Server]


@pytest.fixture
def start(store: Database, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a server's command; it is ended with the test."""
    servers: list[Server] = []

    def start_server(*command: str) -> Server:
        servers.append(Server(store, tmp_path / f"spool{len(servers)}", *command))
        return servers[-1]

    yield start_server
    for server in servers:
        server.end()


def counts(store: Database, columns: str = "route, status") -> dict[str, int]:
    """Return how many requests were stored by these columns."""
    rows = store.execute(f"SELECT concat_ws(' ', {columns}), sum(weight) FROM monitoring.http_request GROUP BY 1")
    return {str(key): int(number) for key, number in rows}


def assert_ledger(store: Database, *, processes: int) -> None:
    """Each process accounts for all it produced, and this many took part."""
    rows = store.execute(
        "SELECT produced, stored + spooled + coalesce((SELECT sum(value::bigint) FROM jsonb_each_text(dropped)), 0)"
        " FROM monitoring.sdk_ledger WHERE produced > 0"
    )
    assert all(produced == accounted for produced, accounted in rows), rows
    assert len(rows) == processes


PYTHON = [sys.executable, "-m"]
GUNICORN = [*PYTHON, "gunicorn", "--bind", "127.0.0.1:PORT", "--graceful-timeout", "60"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preload", "--workers", "2"],
        ["--workers", "2", "--worker-class", "gthread", "--threads", "4"],
        ["--workers", "2", "--worker-class", "gevent"],
        ["--preload", "--workers", "2", "--worker-class", "gevent"],
    ],
    ids=["preload", "threads", "gevent", "gevent preload"],
)
def test_gunicorn(store: Database, start: Start, arguments: list[str]) -> None:
    """Two workers of each class store all their requests, whether forked before or after the SDK was started."""
    server = start(*GUNICORN, *arguments, "tests.sdk_web.served:flask_app")
    answered = server.ask(processes=2)
    failed = server.get("/fail")
    server.end()

    assert failed == 500
    assert counts(store) == {"/items/<int:item> 200": answered, "/fail 500": 1}
    assert store.execute("SELECT error_type, endpoint FROM monitoring.error") == [("ValueError", "/fail")]
    assert_ledger(store, processes=2)


@pytest.mark.parametrize("worker_class", ["sync", "gthread"])
def test_gunicorn_that_logs_an_error(store: Database, start: Start, worker_class: str) -> None:
    """An OSError, which gunicorn raises on by a helper before it logs it, is one error."""
    server = start(*GUNICORN, "--worker-class", worker_class, "tests.sdk_web.served:without_disk()")
    with pytest.raises(http.client.RemoteDisconnected):
        server.get("/fail")
    server.end()

    assert store.execute("SELECT error_type, message FROM monitoring.error") == [("OSError", "no disk")]


def test_gunicorn_client_that_leaves(store: Database, start: Start) -> None:
    """A real client that goes away in the middle is a 499."""
    server = start(*GUNICORN, "--workers", "1", "tests.sdk_web.served:flask_app")
    server.leave("/stream")
    poll_until(lambda: counts(store) != {})
    server.end()

    assert counts(store) == {"/stream 499": 1}


def test_gunicorn_with_django(store: Database, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project that is configured by its settings."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.sdk_web.django_settings")
    server = start(*GUNICORN, "--preload", "--workers", "2", "tests.sdk_web.served:django_wsgi_app")
    statuses = [server.get(path) for path in ("/users/1/", "/users/2/", "/fail/", "/nowhere/")]
    server.end()

    assert statuses == [201, 201, 500, 404]
    assert counts(store) == {"/users/<int:pk>/ 201": 2, "/fail/ 500": 1, "(unmatched) 404": 1}


UVICORN = [*PYTHON, "uvicorn", "--host", "127.0.0.1", "--port", "PORT", "--factory", "--log-level", "warning"]


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn(store: Database, start: Start, workers: int) -> None:
    """One process, or two that uvicorn spawns."""
    server = start(*UVICORN, "--workers", str(workers), "tests.sdk_web.served:starlette")
    answered = server.ask(processes=workers)
    failed = server.get("/fail")
    server.end()

    assert failed == 500
    assert counts(store) == {"/items/{item} 200": answered, "/fail 500": 1}
    assert store.execute("SELECT error_type, endpoint FROM monitoring.error") == [("ValueError", "/fail")]


@pytest.mark.parametrize(
    ("application", "path", "counted"),
    [("django_asgi", "/users/1/", "/users/<int:pk>/ 201"), ("plain", "/items/1", "/items/{item} 200")],
)
def test_uvicorn_without_a_lifespan(
    store: Database, start: Start, monkeypatch: pytest.MonkeyPatch, application: str, path: str, counted: str
) -> None:
    """Uvicorn ends itself by the signal it got; what waits is stored before that, even without a lifespan."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.sdk_web.django_settings")
    server = start(*UVICORN, f"tests.sdk_web.served:{application}")
    for _ in range(5):
        server.get(path)
    server.end()

    assert counts(store) == {counted: 5}


def test_uvicorn_websocket_and_client_that_leaves(store: Database, start: Start) -> None:
    """A real websocket, and a real client that goes away in the middle of a stream."""
    server = start(*UVICORN, "tests.sdk_web.served:starlette")
    with connect(f"ws://127.0.0.1:{server.port}/ws/blue") as websocket:
        websocket.send("hi")
        assert websocket.recv() == "hi"
    server.leave("/stream")
    poll_until(lambda: len(counts(store)) == 2)
    server.end()

    assert counts(store) == {"/ws/{room} 101": 1, "/stream 499": 1}


def test_gunicorn_with_uvicorns_workers(store: Database, start: Start) -> None:
    """ASGI under gunicorn, preloaded."""

    arguments = ("--preload", "--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker")
    server = start(*GUNICORN, *arguments, "tests.sdk_web.served:starlette_app")
    answered = server.ask(processes=2)
    server.end()

    assert counts(store) == {"/items/{item} 200": answered}


UWSGI = [
    str(Path(sys.executable).with_name("uwsgi")), "--http-socket", "127.0.0.1:PORT", "--master", "--processes", "2",
    "--die-on-term", "--pythonpath", str(ROOT), "--virtualenv", sys.prefix, "--need-app",
]  # fmt: skip


@pytest.mark.parametrize(
    ("threads", "before"),
    [(["--enable-threads", "--threads", "2"], 0), (["--enable-threads"], 1), ([], 1)],
    ids=["threads", "enabled, an event before", "disabled, an event before"],
)
def test_uwsgi(store: Database, start: Start, threads: list[str], before: int) -> None:
    """Workers that C code forks, without Python's hooks, store all their requests; worker 1 what came before."""
    application = "flask_that_emits" if before else "flask"
    server = start(*UWSGI, *threads, "--module", f"tests.sdk_web.served:{application}()")
    answered = server.ask(processes=2)
    # uWSGI runs no exit hooks in a process that still ends a request, which it logs last.
    poll_until(lambda: server.log.read_text().count(" GET /items/") == answered)
    server.end()

    assert counts(store) == {"/items/<int:item> 200": answered}
    assert store.execute("SELECT count(*) FROM monitoring.sample") == [(before,)]
    assert_ledger(store, processes=2)
