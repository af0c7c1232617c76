"""Ask every route over a real socket."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from exporter import __version__
from exporter.web.routes import MOST_SCRAPES, build_app
from tests.exposition.serving import OPENMETRICS, FakeSite, Running, poll, serving


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeSite, Running]]:
    """Start one server for all: what a test sets is on the site, which is reset."""
    site = FakeSite()
    with serving(build_app(site), allowed_hosts=("x",)) as running:
        yield site, running


@pytest.fixture
def site(shared: tuple[FakeSite, Running]) -> Iterator[FakeSite]:
    """Return the site that the running server shows."""
    site = shared[0]
    site.reset()
    yield site
    site.release.set()


@pytest.fixture
def running(shared: tuple[FakeSite, Running], site: FakeSite) -> Running:
    """Return the running server."""
    return shared[1]


def raw(running: Running, request: str) -> tuple[bytes, bytes]:
    """Send a request as written and return head and body as received: requests would undo the compression."""
    with running.connect() as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + b"connection: close\r\n\r\n")
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return head.lower(), body


def scrape(running: Running, headers: str = "", method: str = "GET") -> tuple[bytes, bytes]:
    return raw(running, f"{method} /metrics HTTP/1.1\nhost: x\n{headers}")


def test_landing_page_names_program_and_version(running: Running) -> None:
    """The landing page names the program and its version."""
    answer = requests.get(running.url(), timeout=60)

    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>platform-exporter</h1>" in answer.text
    assert f"Version: {__version__}" in answer.text


def test_landing_page_links_lead_somewhere(running: Running) -> None:
    """Every link on the landing page answers."""
    links = re.findall(r'href="([^"]+)"', requests.get(running.url(), timeout=60).text)

    assert links == ["metrics", "api/v1/health", "-/healthy", "-/ready"]
    assert {requests.get(running.url(f"/{link}"), timeout=60).status_code for link in links} == {200}


def test_landing_page_says_what_is_not_shown(site: FakeSite, running: Running) -> None:
    """With what may be markup escaped; where all is shown, nothing."""
    before = requests.get(running.url(), timeout=60).text
    site.reasons = ["source <b>: its server is away"]
    after = requests.get(running.url(), timeout=60).text

    assert "Not shown" not in before
    assert "<li>source &lt;b&gt;: its server is away</li>" in after


def test_landing_page_loads_nothing(running: Running) -> None:
    """The landing page's policy forbids scripts and anything from elsewhere."""
    answer = requests.get(running.url(), timeout=60)

    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9847", 200),
        ("app.localhost:9847", 200),
        ("127.0.0.1:9847", 200),
        ("127.9.9.9", 200),
        ("[::1]:9847", 200),
        ("exporter.example.org:9847", 200),
        ("", 421),
        (":9847", 421),
        ("[::1]evil.example.org", 400),
        ("[localhost]", 400),
        ("[]", 400),
        ("evil.example.org:9847", 421),
        ("localhost.evil.example.org", 421),
        ("evil-localhost", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("10.0.0.1", 421),
        ("0.0.0.0:9847", 421),
        ("[::ffff:10.0.0.1]", 421),
    ],
)
def test_only_this_machine_is_served_on_a_loopback_address(host: str, status: int) -> None:
    """A page whose name was made to lead to 127.0.0.1 reads nothing: its Host is another's."""
    with serving(build_app(FakeSite()), allowed_hosts=("exporter.example.org",)) as running:
        head, _ = raw(running, f"GET /metrics HTTP/1.1\nhost: {host}\n")

    assert head.startswith(f"http/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("exporter:9847", 200),
        ("localhost:9847", 200),
        ("10.0.0.1:9847", 200),
        ("[fd00::1]:9847", 200),
        ("evil.example.org:9847", 421),
        ("exporter.evil.example.org", 421),
        ("", 421),
    ],
)
def test_allowed_hosts_hold_on_any_address(host: str, status: int) -> None:
    """As in a container, which others reach by its address, too: that is no page's name."""
    with serving(build_app(FakeSite()), allowed_hosts=("exporter",), host="0.0.0.0") as running:
        head, _ = raw(running, f"GET /metrics HTTP/1.1\nhost: {host}\n")

    assert head.startswith(f"http/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("identified", "allowed", "host", "browser", "status"),
    [
        (False, (), "evil.example:{port}", True, 403),
        (False, (), "evil.example:{port}", False, 200),
        (True, (), "exporter.example:{port}", True, 200),
        (False, ("exporter.example",), "exporter.example:{port}", True, 200),
        (False, ("exporter.example",), "evil.example:{port}", True, 421),
    ],
)
def test_no_page_reloads_by_a_name_that_was_made_to_lead_here(
    site: FakeSite, identified: bool, allowed: tuple[str, ...], host: str, browser: bool, status: int
) -> None:
    """To its browser it is the exporter's own page: only the name, or the user's password, says otherwise."""
    app = build_app(site, identifies=lambda: identified)
    with serving(app, allowed_hosts=allowed, host="0.0.0.0") as running:
        name = host.replace("{port}", str(running.port))
        sent = {"Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"} if browser else {}
        answer = requests.post(running.url("/-/reload"), headers={"Host": name, **sent}, timeout=60)

    assert (answer.status_code, site.reloads) == (status, int(status == 200))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://evil.example.org"}, 403),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost:{port}", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_do_not_reload(
    site: FakeSite, running: Running, headers: dict[str, str], status: int
) -> None:
    """A browser says for which site it posts; others than this one reload nothing."""
    sent = {name: value.replace("{port}", str(running.port)) for name, value in headers.items()}
    answer = requests.post(running.url("/-/reload"), headers=sent, timeout=60)

    assert (answer.status_code, site.reloads) == (status, int(status == 200))


def test_reload_may_be_off() -> None:
    """Where nobody has to sign in and nobody allowed it, reloading is refused, and the answer says what to do."""
    site = FakeSite()
    with serving(build_app(site, lifecycle=False)) as running:
        answer = requests.post(running.url("/-/reload"), timeout=60)

    assert (answer.status_code, site.reloads) == (403, 0)
    assert "--web.enable-lifecycle" in answer.text


def test_metrics_returns_what_the_site_renders(site: FakeSite, running: Running) -> None:
    """A scrape gets the rendered body with its content type."""
    answer = requests.get(running.url("/metrics"), timeout=60)

    assert answer.content == site.body
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_accept_header_reaches_the_site(site: FakeSite, running: Running) -> None:
    """What a scraper accepts decides the format."""
    head, _ = scrape(running, f"accept: {OPENMETRICS};q=0.9\naccept: text/plain;q=0.1\n")

    assert f"content-type: {OPENMETRICS}".encode() in head
    assert site.scrapes == [(f"{OPENMETRICS};q=0.9, text/plain;q=0.1", None)]


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("GZIP;q=1.0, identity; q=0.5", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.2, identity", False),
        ("gzip;q=nonsense", False),
    ],
)
def test_gzip_where_the_client_takes_it(
    site: FakeSite, running: Running, accept_encoding: str, compressed: bool
) -> None:
    """The body is compressed exactly where Accept-Encoding allows it and prefers nothing else."""
    head, body = scrape(running, f"accept-encoding: {accept_encoding}\n" if accept_encoding else "")

    assert (b"content-encoding: gzip" in head) is compressed
    assert (gzip.decompress(body) if compressed else body) == site.body
    assert f"content-length: {len(body)}".encode() in head


def test_metrics_vary_by_what_was_negotiated(running: Running) -> None:
    """The answer says for caches what it depends on."""
    assert b"vary: accept, accept-encoding" in scrape(running)[0]


def test_head_has_the_length_and_no_body(site: FakeSite, running: Running) -> None:
    """HEAD answers like GET, without the body."""
    head, body = scrape(running, method="HEAD")

    assert f"content-length: {len(site.body)}".encode() in head
    assert body == b""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("9.5", 9.5), ("10", 10.0), ("0", None), ("-1", None), ("inf", None), ("nan", None), ("x", None)],
)
def test_scrape_timeout_reaches_the_site(site: FakeSite, running: Running, text: str, seconds: float | None) -> None:
    """Prometheus' timeout is passed on where it is a finite time above 0, and ignored else."""
    scrape(running, f"X-Prometheus-Scrape-Timeout-Seconds: {text}\n")

    assert site.scrapes == [("", seconds)]


def test_rendering_error_is_told_without_details(site: FakeSite, running: Running) -> None:
    """A scrape whose rendering fails gets 500 and no traceback."""
    site.error = RuntimeError("secret detail")
    answer = requests.get(running.url("/metrics"), timeout=60)

    assert answer.status_code == 500
    assert answer.text == "the metrics could not be rendered; see the exporter's log\n"


def test_rendering_error_is_logged(site: FakeSite, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A rendering error stands in the log with its traceback."""
    site.error = RuntimeError("secret detail")
    requests.get(running.url("/metrics"), timeout=60)

    assert "rendering /metrics failed" in caplog.text
    assert "RuntimeError: secret detail" in caplog.text


@pytest.fixture
def busy(site: FakeSite, running: Running) -> Iterator[None]:
    """Keep the most scrapes under way until the test has ended."""
    site.hold = True
    with ThreadPoolExecutor(MOST_SCRAPES) as pool:
        scrapes = [pool.submit(requests.get, running.url("/metrics"), timeout=60) for _ in range(MOST_SCRAPES)]
        for _ in scrapes:
            assert site.held.acquire(timeout=60)
        yield
        site.release.set()
        statuses = [scrape.result().status_code for scrape in scrapes]
    assert statuses == [200] * MOST_SCRAPES


@pytest.mark.usefixtures("busy")
def test_one_scrape_too_many_is_told_to_come_again(running: Running) -> None:
    """The ninth scrape at once gets 503 at once."""
    answer = requests.get(running.url("/metrics"), timeout=60)

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.usefixtures("busy")
def test_healthy_answers_while_scrapes_wait(running: Running) -> None:
    """Slow scrapes do not stall the other routes."""
    paths = ["/-/healthy", "/-/ready", "/api/v1/health"]

    assert [requests.get(running.url(path), timeout=60).status_code for path in paths] == [200, 200, 200]


def test_healthy(running: Running) -> None:
    """The process says that it answers."""
    answer = requests.get(running.url("/-/healthy"), timeout=60)

    assert (answer.status_code, answer.text) == (200, "platform-exporter is healthy.\n")


def test_ready(running: Running) -> None:
    """Without reasons against it, the exporter is ready."""
    answer = requests.get(running.url("/-/ready"), timeout=60)

    assert (answer.status_code, answer.text) == (200, "platform-exporter is ready.\n")


def test_not_ready_says_why(site: FakeSite, running: Running) -> None:
    """An exporter that is not ready lists the reasons, with 503."""
    site.reasons = ["source native was never read", "source scitex was never read"]
    answer = requests.get(running.url("/-/ready"), timeout=60)

    assert answer.status_code == 503
    assert answer.text == "not ready:\n- source native was never read\n- source scitex was never read\n"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_reload(site: FakeSite, running: Running, method: str) -> None:
    """POST and PUT read the configuration again, as with Prometheus."""
    answer = requests.request(method, running.url("/-/reload"), timeout=60)

    assert answer.status_code == 200
    assert site.reloads == 1


def test_refused_reload_says_why(site: FakeSite, running: Running) -> None:
    """The answer to a rejected configuration has the reason, and says that the old one stays."""
    site.refusal = "`listen` is 5"
    answer = requests.post(running.url("/-/reload"), timeout=60)

    assert (answer.status_code, answer.text) == (500, "the old configuration stays in force: `listen` is 5\n")


def test_reload_by_get_is_not_allowed(site: FakeSite, running: Running) -> None:
    """A link or a crawler cannot cause a reload."""
    answer = requests.get(running.url("/-/reload"), timeout=60)

    assert (answer.status_code, site.reloads) == (405, 0)
    assert set(answer.headers["Allow"].split(", ")) == {"POST", "PUT"}


def test_health_is_json(site: FakeSite, running: Running) -> None:
    """The health report is JSON that no cache keeps."""
    answer = requests.get(running.url("/api/v1/health"), timeout=60)

    assert json.loads(answer.content) == site.report
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_unhealthy_report_is_a_report(site: FakeSite, running: Running) -> None:
    """The status of the platform is in the body; the status code says that there is a report."""
    site.report = {"status": "unhealthy"}
    answer = requests.get(running.url("/api/v1/health"), timeout=60)

    assert (answer.status_code, answer.json()["status"]) == (200, "unhealthy")


def test_failing_health_report_is_told_without_details(site: FakeSite, running: Running) -> None:
    """A report that cannot be made is 500 without a traceback."""
    site.error = RuntimeError("secret detail")
    answer = requests.get(running.url("/api/v1/health"), timeout=60)

    assert (answer.status_code, answer.text) == (500, "internal error; see the exporter's log\n")


@pytest.mark.parametrize("path", ["/nope", "/metrics/", "/../etc/passwd", "/%2e%2e/"])
def test_unknown_path(running: Running, path: str) -> None:
    """An unknown path is 404 in plain text, and no redirect."""
    head, body = raw(running, f"GET {path} HTTP/1.1\nhost: x\n")

    assert head.startswith(b"http/1.1 404 ")
    assert (b"content-type: text/plain" in head, body) == (True, b"Not Found")


def test_metrics_takes_no_post(running: Running) -> None:
    """Only GET and HEAD scrape."""
    assert requests.post(running.url("/metrics"), timeout=60).status_code == 405


def test_server_tells_no_version(running: Running) -> None:
    """No header shows which server this is."""
    assert "Server" not in requests.get(running.url(), timeout=60).headers


def test_threads_end_with_their_scrape(running: Running) -> None:
    """A scrape leaves no thread behind."""
    before = threading.active_count()
    for _ in range(20):
        requests.get(running.url("/metrics"), timeout=60)

    assert poll(lambda: threading.active_count() <= before)
