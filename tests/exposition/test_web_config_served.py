"""Speak TLS and sign in to a server whose web configuration file says so."""

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import bcrypt
import pytest
import requests
import trustme

from exporter.web import basic_auth
from exporter.web.routes import build_app
from exporter.web.web_config import WebConfig
from tests.exposition.serving import FakeSite, Running, poll, serving
from tests.servers import PATIENCE_SECONDS, poll_until

Serve = Callable[[str], AbstractContextManager[Running]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return the authority that everyone trusts."""
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger() -> trustme.CA:
    """Return an authority that is not trusted."""
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    """Return a folder with ca.pem, cert.pem and key.pem."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    put_certificate(tmp_path, authority.issue_cert("localhost"))
    return tmp_path


def put_certificate(folder: Path, certificate: trustme.LeafCert) -> None:
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")


@pytest.fixture
def serve(folder: Path) -> Serve:
    """Return what serves with a web configuration of this text."""

    def serve(text: str) -> AbstractContextManager[Running]:
        (folder / "web.yml").write_text(text)
        return serving(build_app(FakeSite()), folder / "web.yml")

    return serve


def tls(keys: str = "") -> str:
    return f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem, {keys}}}\n"


def handshake(running: Running, context: ssl.SSLContext) -> tuple[str | None, bytes]:
    """Shake hands and ask for health; return the TLS version and the first line, b"" where we were turned away.

    In TLS 1.3 a client learns only after its handshake that its certificate was refused.
    """
    with running.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        version = connection.version()
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return version, connection.recv(65536).partition(b"\r\n")[0]
        return version, b""


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client's context that trusts the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def test_tls(serve: Serve, context: ssl.SSLContext) -> None:
    """With a certificate the server speaks TLS 1.3."""
    with serve(tls()) as running:
        assert handshake(running, context) == ("TLSv1.3", b"HTTP/1.1 200 OK")


def test_http1_is_negotiated(serve: Serve, context: ssl.SSLContext) -> None:
    """A client that offers HTTP/2 and HTTP/1.1 gets HTTP/1.1."""
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        serve(tls() + "http_server_config: {http2: true}") as running,
        running.connect() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_plain_http_to_tls_is_closed(serve: Serve) -> None:
    """A client that speaks plain HTTP to a TLS port is closed, not served."""
    with serve(tls()) as running, running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        assert b"HTTP/1.1 200" not in connection.recv(65536)


@pytest.mark.parametrize(
    ("keys", "alert"),
    [
        ("min_version: TLS13", "PROTOCOL_VERSION"),
        ("max_version: TLS12, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]", "HANDSHAKE_FAILURE"),
        ("max_version: TLS12, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem", "HANDSHAKE_FAIL"),
    ],
)
def test_failed_handshake_sends_its_alert(serve: Serve, context: ssl.SSLContext, keys: str, alert: str) -> None:
    """A client learns why its handshake failed, instead of a connection that is reset."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serve(tls(keys)) as running, pytest.raises(ssl.SSLError, match=alert):
        handshake(running, context)


def test_failed_handshake_is_logged_with_the_client(
    serve: Serve, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the client and the reason."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serve(tls("min_version: TLS13")) as running:
        with contextlib.suppress(ssl.SSLError):
            handshake(running, context)

        poll_until(lambda: "127.0.0.1: the TLS handshake failed: unsupported protocol" in caplog.text)


@pytest.mark.parametrize(
    ("text", "identifies"),
    [
        ("{}", False),
        (tls(), False),
        (tls("client_auth_type: RequireAnyClientCert"), False),
        (tls("client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"), True),
        ("basic_auth_users: {prometheus: $2y$04$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG}", True),
    ],
)
def test_who_may_reload(folder: Path, text: str, identifies: bool) -> None:
    """Where every client proves who it is, a reload needs no flag."""
    (folder / "web.yml").write_text(text)

    assert WebConfig(folder / "web.yml").identifies() is identifies


def test_minimum_version(serve: Serve, context: ssl.SSLContext) -> None:
    """A client below min_version is refused."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serve(tls("min_version: TLS13")) as running, pytest.raises(ssl.SSLError):
        handshake(running, context)


def test_maximum_version(serve: Serve, context: ssl.SSLContext) -> None:
    """No version above max_version is spoken."""
    with serve(tls("max_version: TLS12")) as running:
        assert handshake(running, context) == ("TLSv1.2", b"HTTP/1.1 200 OK")


def test_old_version_where_asked_for(serve: Serve, context: ssl.SSLContext) -> None:
    """TLS 1.0 is spoken where the file asks for it, to a client that can do no more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with serve(tls("min_version: TLS10")) as running:
        assert handshake(running, context) == ("TLSv1", b"HTTP/1.1 200 OK")


def test_curve_preferences(serve: Serve, context: ssl.SSLContext) -> None:
    """A client that shares none of the curves is refused."""
    context.set_ecdh_curve("prime256v1")
    with serve(tls("curve_preferences: [CurveP384]")) as running, pytest.raises(ssl.SSLError):
        handshake(running, context)


REQUIRED = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"
OPTIONAL = "client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem"


@pytest.mark.parametrize(
    ("keys", "signer", "name", "admitted"),
    [
        (REQUIRED, "authority", "any.example.org", True),
        (REQUIRED, "stranger", "any.example.org", False),
        (REQUIRED, None, "", False),
        (OPTIONAL, "authority", "any.example.org", True),
        (OPTIONAL, "stranger", "any.example.org", False),
        (OPTIONAL, None, "", True),
        (f"{REQUIRED}, client_allowed_sans: [prometheus.example.org]", "authority", "prometheus.example.org", True),
        (f"{REQUIRED}, client_allowed_sans: [10.1.2.3]", "authority", "10.1.2.3", True),
        (f"{REQUIRED}, client_allowed_sans: [prometheus.example.org]", "authority", "other.example.org", False),
        (f"{REQUIRED}, client_allowed_sans: [prometheus.example.org]", "stranger", "prometheus.example.org", False),
    ],
)
def test_client_certificates(
    request: pytest.FixtureRequest,
    serve: Serve,
    context: ssl.SSLContext,
    keys: str,
    signer: str | None,
    name: str,
    admitted: bool,
) -> None:
    """A client's certificate is asked for, verified and matched by name as the file says."""
    if signer:
        request.getfixturevalue(signer).issue_cert(name).configure_cert(context)
    with serve(tls(keys)) as running:
        assert handshake(running, context)[1] == (b"HTTP/1.1 200 OK" if admitted else b"")


def test_certificate_rotates(serve: Serve, folder: Path, authority: trustme.CA, context: ssl.SSLContext) -> None:
    """A new certificate is shown to the next connection, without a restart."""

    def serial(running: Running) -> object:
        with running.connect() as plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
            return (connection.getpeercert() or {})["serialNumber"]

    with serve(tls()) as running:
        before = serial(running)
        put_certificate(folder, authority.issue_cert("localhost"))

        assert serial(running) != before


def test_broken_certificate_keeps_the_old_one(serve: Serve, folder: Path, context: ssl.SSLContext) -> None:
    """A broken certificate file does not end the service."""
    with serve(tls()) as running:
        (folder / "cert.pem").write_text("broken")

        assert handshake(running, context)[1] == b"HTTP/1.1 200 OK"


def test_client_authority_rotates(serve: Serve, folder: Path, stranger: trustme.CA, context: ssl.SSLContext) -> None:
    """A new authority for clients counts for the next connection."""
    stranger.issue_cert("client").configure_cert(context)
    with serve(tls(REQUIRED)) as running:
        before = handshake(running, context)[1]
        stranger.cert_pem.write_to_path(folder / "ca.pem")

        assert before == b""
        assert handshake(running, context)[1] == b"HTTP/1.1 200 OK"


@pytest.fixture(scope="module")
def hashed() -> str:
    """Return a hash of the password `secret`, cheap to compare with."""
    return bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, hashed: str) -> Iterator[Running]:
    """Serve plain HTTP to one user."""
    web_config = tmp_path_factory.mktemp("guarded") / "web.yml"
    web_config.write_text(f"basic_auth_users: {{prometheus: {hashed}}}")
    with serving(build_app(FakeSite()), web_config) as running:
        yield running


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        (("prometheus", "secret"), 200),
        (("prometheus", "wrong"), 401),
        (("prometheus", ""), 401),
        (("nobody", "secret"), 401),
        (None, 401),
    ],
)
def test_users(guarded: Running, credentials: tuple[str, str] | None, status: int) -> None:
    """Only the right name with the right password comes in."""
    answer = requests.get(guarded.url("/metrics"), auth=credentials, timeout=60)

    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/health", "/nope"])
def test_every_path_is_guarded(guarded: Running, path: str) -> None:
    """Without a password no path answers, and the client is asked for one."""
    answer = requests.get(guarded.url(path), timeout=60)

    assert (answer.status_code, answer.text) == (401, "Unauthorized\n")
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="platform-exporter", charset="UTF-8"'


def test_reload_is_guarded(guarded: Running) -> None:
    """A reload needs a password."""
    assert requests.post(guarded.url("/-/reload"), timeout=60).status_code == 401


def test_users_rotate(serve: Serve, hashed: str, folder: Path) -> None:
    """A new password counts for the next request, and the old one no more, though it was remembered."""
    old, new = ("prometheus", "secret"), ("prometheus", "changed")
    with serve(f"basic_auth_users: {{prometheus: {hashed}}}") as running:
        before = requests.get(running.url(), auth=old, timeout=60).status_code
        changed = bcrypt.hashpw(b"changed", bcrypt.gensalt(4)).decode()
        (folder / "web.yml").write_text(f"basic_auth_users: {{prometheus: {changed}}}")
        after = [requests.get(running.url(), auth=auth, timeout=60).status_code for auth in (old, new)]

    assert (before, after) == (200, [401, 200])


def test_wrong_passwords_do_not_stall_scrapes(serve: Serve, hashed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the check of eight wrong passwords takes for ever, a known client is answered."""
    checked, compare = threading.Event(), bcrypt.checkpw

    def slow(password: bytes, hashed: bytes) -> bool:
        if password.startswith(b"wrong"):
            checked.wait(PATIENCE_SECONDS)
        return compare(password, hashed)

    monkeypatch.setattr(basic_auth.bcrypt, "checkpw", slow)
    with serve(f"basic_auth_users: {{prometheus: {hashed}}}") as running, ThreadPoolExecutor(8) as pool:
        scrape = requests.Request("GET", running.url("/metrics"), auth=("prometheus", "secret")).prepare()
        with requests.Session() as session:
            session.send(scrape, timeout=PATIENCE_SECONDS)
            wrong = [
                pool.submit(requests.get, running.url(), auth=("prometheus", f"wrong {number}"), timeout=60)
                for number in range(8)
            ]
            answers = [session.send(scrape, timeout=PATIENCE_SECONDS) for _ in range(5)]
            finished = [login.done() for login in wrong]
            checked.set()

        assert [answer.status_code for answer in answers] == [200] * 5
        assert finished == [False] * 8
        assert [login.result().status_code for login in wrong] == [401] * 8


def test_headers(serve: Serve, hashed: str) -> None:
    """The headers of the file are on every answer, also on refusals, in place of the exporter's own."""
    headers = "{Content-Security-Policy: sandbox, X-Frame-Options: sameorigin, X-XSS-Protection: ''}"
    with serve(f"http_server_config: {{headers: {headers}}}\nbasic_auth_users: {{prometheus: {hashed}}}") as running:
        answers = [requests.get(running.url(), auth=auth, timeout=60) for auth in (None, ("prometheus", "secret"))]

        for answer in answers:
            assert answer.headers["Content-Security-Policy"] == "sandbox"
            assert answer.headers["X-Frame-Options"] == "sameorigin"
            assert "X-XSS-Protection" not in answer.headers


def test_rate_limit(serve: Serve) -> None:
    """Beyond its burst a client gets 429."""
    with serve("rate_limit: {interval: 1h, burst: 2}") as running:
        statuses = [requests.get(running.url(), timeout=60).status_code for _ in range(3)]

        assert statuses == [200, 200, 429]


def test_tls_client_that_goes_away_leaves_nothing(serve: Serve) -> None:
    """A client that resets its connection during the handshake leaves no connection behind."""
    with serve(tls()) as running:
        for _ in range(5):
            with running.connect() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.sendall(b"\x16\x03\x01")

        assert poll(lambda: not running.server.waiting)
