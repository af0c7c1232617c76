"""What only urllib3 has: its retries, redirects, pools and proxies; and clients that are built on it."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
import requests
import trustme
import urllib3
from botocore.config import Config
from minio import Minio
from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager, Retry

from platform_sdk.outgoing import requests as requests_hook
from platform_sdk.outgoing import urllib3 as outgoing
from tests.sdk_outgoing.api import LONG_TEXT, Api

Recorded = Callable[[], list[dict[str, Any]]]


def found(rows: list[dict[str, Any]]) -> list[tuple[str, int, int | None, str | None]]:
    """Return endpoint, attempt, status and reason of each row."""
    return [(row["endpoint"], row["attempt"], row["status"], row["reason"]) for row in rows]


def test_retries_by_status_are_separate_calls(api: Api, recorded: Recorded) -> None:
    """Each try is a call, failed ones too."""
    outgoing.install()
    with PoolManager(retries=Retry(3, status_forcelist=[503])) as pools:
        assert pools.request("GET", api.url("/flaky/2")).status == 200

    assert found(recorded()) == [
        ("/flaky/{id}", 1, 503, "server_error"),
        ("/flaky/{id}", 2, 503, "server_error"),
        ("/flaky/{id}", 3, 200, None),
    ]


def test_retries_that_run_out(api: Api, recorded: Recorded) -> None:
    """The last try is recorded once, as the one that failed the call."""
    outgoing.install()
    with PoolManager(retries=Retry(1)) as pools, pytest.raises(urllib3.exceptions.MaxRetryError):
        pools.request("GET", api.url("/hang"), timeout=0.1)

    assert found(recorded()) == [("/hang", 1, None, "timeout"), ("/hang", 2, None, "timeout")]


def test_redirect_within_a_pool(api: Api, recorded: Recorded) -> None:
    """A pool that is used by itself follows redirects by itself; each answer counts for its place."""
    outgoing.install()
    host, _, port = api.host.partition(":")
    with HTTPConnectionPool(host, int(port)) as pool:
        assert pool.request("GET", "/redirect").status == 200

    assert found(recorded()) == [("/redirect", 1, 302, None), ("/articles/{id}", 1, 200, None)]


def test_streamed_body_is_the_callers(api: Api, recorded: Recorded) -> None:
    """The clock stops at the head, and the size is what the head announces."""
    outgoing.install()
    with PoolManager() as pools:
        response = pools.request("GET", api.url("/held"), preload_content=False)
        (row,) = recorded()
        api.go_on.set()
        assert response.read() == LONG_TEXT

    assert (row["outcome"], row["response_bytes"]) == ("success", len(LONG_TEXT))


def test_pool_without_a_free_connection(api: Api, recorded: Recorded) -> None:
    """To wait for a connection in vain is a timeout."""
    outgoing.install()
    host, _, port = api.host.partition(":")
    with HTTPConnectionPool(host, int(port), maxsize=1, block=True) as pool:
        held = pool.urlopen("GET", "/held", preload_content=False)
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            pool.urlopen("GET", "/ok", pool_timeout=0.05)
        api.go_on.set()
        held.read()

    assert found(recorded()) == [("/held", 1, 200, None), ("/ok", 1, None, "timeout")]


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a free port, by TLS with a context."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


class Proxy(BaseHTTPRequestHandler):
    """A proxy that answers for everybody, and opens no tunnel."""

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.send_error(403)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_proxy(recorded: Recorded) -> None:
    """The call is to the server that was meant, not to the proxy."""
    outgoing.install()
    with serving(Proxy) as port, ProxyManager(f"http://127.0.0.1:{port}") as pools:
        assert pools.request("GET", "http://papers.example.org/api/7?token=hunter2").status == 200
    (row,) = recorded()

    assert (row["api"], row["endpoint"], row["status"]) == ("papers.example.org", "/api/{id}", 200)
    assert row["query"] == {"token": "********"}


def test_proxy_that_opens_no_tunnel(recorded: Recorded) -> None:
    """That is a failed connection to the server that was meant."""
    outgoing.install()
    with (
        serving(Proxy) as port,
        ProxyManager(f"http://127.0.0.1:{port}", retries=False) as pools,
        pytest.raises(urllib3.exceptions.HTTPError),
    ):
        pools.request("GET", "https://papers.example.org/api/7")
    (row,) = recorded()

    assert (row["api"], row["status"], row["reason"]) == ("papers.example.org", None, "connection")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of http.server, where the handshake fails
def test_certificate_that_is_not_trusted(recorded: Recorded) -> None:
    """A failed handshake is a failed connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    outgoing.install()
    with (
        serving(Proxy, context) as port,
        PoolManager(retries=False) as pools,
        pytest.raises(urllib3.exceptions.SSLError),
    ):
        pools.request("GET", f"https://localhost:{port}/ok")

    assert found(recorded()) == [("/ok", 1, None, "connection")]


@pytest.mark.parametrize("both", [True, False])
def test_requests_counts_once(api: Api, recorded: Recorded, both: bool) -> None:
    """With its own hook or without, and its tries are distinguished by either."""
    outgoing.install()
    if both:
        requests_hook.install()
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(1, status_forcelist=[503])))
        assert session.get(api.url("/flaky/1")).status_code == 200
        assert session.get(api.url("/redirect")).status_code == 200

    assert [(row["endpoint"], row["attempt"], row["status"]) for row in recorded()] == [
        ("/flaky/{id}", 1, 503), ("/flaky/{id}", 2, 200), ("/redirect", 1, 302), ("/articles/{id}", 1, 200),
    ]  # fmt: skip


def test_what_requests_leaves_out(api: Api, recorded: Recorded) -> None:
    """Its rules decide about its calls, not those of urllib3."""
    outgoing.install()
    requests_hook.install(only_named=True)
    assert requests.get(api.url("/ok"), timeout=60).status_code == 200

    assert recorded() == []


@pytest.mark.parametrize("first", [outgoing, requests_hook])
def test_one_of_two_hooks_is_uninstalled(api: Api, recorded: Recorded, first: Any) -> None:
    """What both use stays for the other."""
    outgoing.install()
    requests_hook.install()
    first.uninstall()
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(1, status_forcelist=[503])))
        session.get(api.url("/flaky/1"))

    assert [(row["attempt"], row["status"]) for row in recorded()] == [(1, 503), (2, 200)]


def test_boto3(api: Api, recorded: Recorded) -> None:
    """Each of botocore's own tries is a call; the object's size is what S3 announces."""
    outgoing.install(apis={api.host: "s3"})
    client = boto3.client(
        "s3", endpoint_url=api.url(""), region_name="x", aws_access_key_id="a", aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 2, "mode": "standard"}, s3={"addressing_style": "path"}),
    )  # fmt: skip
    body = client.get_object(Bucket="flaky", Key="1")["Body"].read()

    assert body == b"at last"
    assert [(row["api"], row["status"], row["response_bytes"]) for row in recorded()] == [
        ("s3", 503, 7),
        ("s3", 200, 7),
    ]


def test_minio(api: Api, recorded: Recorded) -> None:
    """Its client makes a pool of its own."""
    outgoing.install(apis={api.host: "minio"})
    client = Minio(api.host, access_key="a", secret_key="b", secure=False, region="x")
    assert client.bucket_exists(bucket_name="ok-bucket")

    assert [(row["api"], row["method"], row["status"]) for row in recorded()] == [("minio", "HEAD", 200)]
