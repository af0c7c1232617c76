"""Three applications on the whole chain: SDK, PostgreSQL, exporter, Prometheus.

They run as they would elsewhere (gunicorn with preload, uvicorn, `scrapy crawl`), are used, and are ended; then each
test checks one result, both as rows and as series.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from platform_sdk.events import EVENTS
from tests.sdk_examples.conftest import Store
from tests.sdk_examples.running import HERE, Programs
from tests.servers import ServerFactory, poll_until
from tools.stack.errors import StackError
from tools.stack.ports import free_port
from tools.stack.servers import Prometheus
from tools.testing.exporter import Exporter, exporting

SCRAPE = """
global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}
scrape_configs:
  - job_name: platform
    static_configs: [{{targets: ['{}']}}]
"""
APPS = ("crawler", "prices", "shop")


@dataclass(frozen=True)
class Chain:
    """What the tests look at, once the applications have been used and ended."""

    store: Store
    exporter: Exporter
    prometheus: Prometheus

    def becomes(self, promql: str, expected: dict[tuple[str, ...], float]) -> None:
        """Wait until Prometheus answers a query with these values by labels."""
        with contextlib.suppress(StackError):  # the assertion says more
            poll_until(lambda: self.values(promql) == expected)
        assert self.values(promql) == expected

    def values(self, promql: str) -> dict[tuple[str, ...], float]:
        """Return what Prometheus answers, by the values of the labels in their names' order."""
        return {
            tuple(value for _, value in sorted(found["metric"].items())): float(found["value"][1])
            for found in self.prometheus.query(promql)
        }


@pytest.fixture(scope="module")
def chain(
    store: Store,
    programs: Programs,
    session_servers: ServerFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Chain]:
    """Return the chain, through which the events of three applications have gone."""
    with exporting(tmp_path_factory.mktemp("exporter"), store.configuration) as exporter:
        address = exporter.base.removeprefix("http://")
        prometheus = session_servers.start(Prometheus, SCRAPE.format(address))
        try:
            _use_applications(programs)
            yield Chain(store, exporter, prometheus)
        finally:
            prometheus.destroy()


def _use_applications(programs: Programs) -> None:
    """Start the three, make requests, and end them."""
    shop_folder, crawler_folder = HERE / "django_shop", HERE / "scrapy_catalogue"
    environment = {
        "SHOP_DATABASE": str(programs.folder / "shop.sqlite3"),
        "LEDGER_URL": f"http://127.0.0.1:{free_port()}",  # a port without a listener
        "DJANGO_SETTINGS_MODULE": "shop.settings",  # other tests of this worker may have set one of their own
    }
    uvicorn = ("uvicorn", "--host", "{host}", "--port", "{port}", "main:app")
    gunicorn = ("gunicorn", "--bind", "{address}", "--preload", "--workers", "2", "shop.wsgi")
    with programs.serving(*uvicorn, cwd=HERE / "fastapi_prices", **environment) as prices:
        environment["PRICES_URL"] = prices
        _make_user(programs, environment)
        with programs.serving(*gunicorn, cwd=shop_folder, **environment) as shop:
            _visit(shop, prices)
            programs.run("scrapy", "crawl", "products", "-a", f"shop={shop}/", cwd=crawler_folder, **environment)


def _make_user(programs: Programs, environment: dict[str, str]) -> None:
    folder = HERE / "django_shop"
    programs.run("python", "manage.py", "migrate", "--verbosity", "0", cwd=folder, **environment)
    programs.run(
        "python", "manage.py", "createsuperuser", "--noinput", cwd=folder, **environment,
        DJANGO_SUPERUSER_USERNAME="ann", DJANGO_SUPERUSER_EMAIL="ann@example.org", DJANGO_SUPERUSER_PASSWORD="pass",
    )  # fmt: skip


def _visit(shop: str, prices: str) -> None:
    with requests.Session() as browser:
        browser.headers["User-Agent"] = "browser/1"
        form = browser.get(f"{shop}/login/").text
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', form)
        assert token
        fields = {"csrfmiddlewaretoken": token[1], "username": "ann", "password": "pass"}
        answer = browser.post(f"{shop}/login/", fields, allow_redirects=False)
        assert answer.status_code == 302, answer.text
        paths = (
            "/products/1/",
            "/products/1/price/",
            "/products/3/price/",
            "/order/",
            "/no/such/page",
            "/static/x.css",
        )
        assert [browser.get(shop + path).status_code for path in paths] == [200, 200, 429, 500, 404, 404]
        assert browser.post(f"{prices}/prices/7/sales").json() == {"status": "sold, not reported"}
        assert browser.delete(f"{prices}/prices/8").status_code == 500


def test_a_request_is_a_row_and_a_number(chain: Chain) -> None:
    """Routes are templates; what is left out by default is, and no raw path is a label."""
    shop = {
        ("200", "GET", "/"): 1.0,  # the crawler
        ("200", "GET", "/login/"): 1.0,
        ("302", "POST", "/login/"): 1.0,
        ("200", "GET", "/products/<int:pk>/"): 4.0,  # the browser once, the crawler three times
        ("200", "GET", "/products/<int:pk>/price/"): 1.0,
        ("429", "GET", "/products/<int:pk>/price/"): 1.0,
        ("500", "GET", "/order/"): 1.0,
        ("404", "GET", "(unmatched)"): 1.0,
    }
    prices = {
        ("200", "GET", "/prices/{pk}"): 1.0,
        ("429", "GET", "/prices/{pk}"): 1.0,
        ("200", "POST", "/prices/{pk}/sales"): 1.0,
        ("500", "DELETE", "/prices/{pk}"): 1.0,
    }
    rows = chain.store.database.execute(
        "SELECT app, status::text, method, route, count(*)::float FROM monitoring.http_request GROUP BY 1, 2, 3, 4"
    )

    assert {tuple(row[1:4]): row[4] for row in rows if row[0] == "shop"} == shop
    assert {tuple(row[1:4]): row[4] for row in rows if row[0] == "prices"} == prices
    chain.becomes('sum by (code, method, route) (platform_http_requests_total{app="shop"}) > 0', shop)
    chain.becomes('sum by (code, method, route) (platform_http_requests_total{app="prices"}) > 0', prices)


def test_an_exception_is_an_issue(chain: Chain) -> None:
    """What no view handles is an error with its stack, and an open issue; so is a callback's of a spider."""
    issues = {
        ("crawler", "ValueError", "products: parse_product"),
        ("prices", "LookupError", "/prices/{pk}"),
        ("shop", "KeyError", "/order/"),
    }
    errors = chain.store.rows("app, error_type, endpoint, user_id, stack_trace LIKE '%line%'", "error")

    assert [error[:3] for error in errors] == sorted(issues)
    assert [error[3:] for error in errors] == [(None, True), (None, True), ("1", True)]
    poll_until(lambda: chain.store.rows("1", "error_issue", "status = 'open'") == [(1,)] * 3)
    assert set(chain.store.rows("app, error_type, endpoint", "error_issue")) == issues
    chain.becomes("sum by (app, error_type) (platform_errors_total) > 0", {(app, kind): 1.0 for app, kind, _ in issues})
    chain.becomes('sum by (app) (platform_error_issues{status="open"})', {(app,): 1.0 for app in APPS})


def test_an_outgoing_call_is_counted(chain: Chain) -> None:
    """By API and outcome; ids and secrets are not in the rows."""
    rows = chain.store.rows("api, endpoint, method, status, coalesce(reason, 'none'), query->>'api_key'", "api_call")

    assert rows == [
        ("ledger", "/sales", "POST", None, "connection", None),
        ("prices", "/prices/{id}", "GET", 200, "none", "********"),
        ("prices", "/prices/{id}", "GET", 429, "rate_limited", "********"),
    ]
    chain.becomes("sum by (api, app) (platform_api_calls_total)", {("ledger", "prices"): 1.0, ("prices", "shop"): 2.0})
    chain.becomes(
        "sum by (api, reason) (platform_api_call_failures_total) > 0",
        {("ledger", "connection"): 1.0, ("prices", "rate_limited"): 1.0},
    )


def test_a_login_is_an_activity(chain: Chain) -> None:
    """Rules name the requests; the user who has just signed in is recorded, and the address is truncated."""
    signed_in = chain.store.rows(
        "activity, module, user_id, role, success, host(ip), user_agent", "user_activity", "activity = 'login'"
    )

    assert signed_in == [("login", "accounts", "1", "superuser", True, "127.0.0.0", "browser/1")]
    chain.becomes(
        'sum by (activity, app, role) (platform_user_activity_total{activity=~"login|sell"})',
        {("login", "shop", "superuser"): 1.0, ("sell", "prices"): 1.0},  # without users
    )
    chain.becomes('sum by (app) (platform_active_users{window="1h", app="shop"})', {("shop",): 1.0})


def test_a_crawl_is_a_run(chain: Chain) -> None:
    """With items scraped and failed; the job it was is completed."""
    runs = chain.store.rows("scraper, site, outcome, items_processed, items_failed", "scraping_run")
    jobs = chain.store.rows("scraper, status", "scraping_job")

    assert runs == [("products", "127.0.0.1", "success", 2, 1)]
    assert jobs == [("products", "completed")]
    chain.becomes("sum by (app, scraper) (platform_scraping_runs_total)", {("crawler", "products"): 1.0})
    chain.becomes("sum by (app, scraper) (platform_scraping_items_total)", {("crawler", "products"): 2.0})


def test_the_ledger_matches_the_rows(chain: Chain) -> None:
    """Every event that the SDK accepted is a row, of every application; /metrics shows the ledger, and no drop."""
    tables = " UNION ALL ".join(f"SELECT app FROM monitoring.{kind.name}" for kind in EVENTS)
    rows = dict(chain.store.database.execute(f"SELECT app, count(*)::int FROM ({tables}) event GROUP BY 1"))

    assert set(rows) == set(APPS)
    assert chain.store.ledger() == {app: (count, count, 0) for app, count in rows.items()}
    chain.becomes("sum by (app) (platform_sdk_events_total)", {(app,): count for app, count in rows.items()})
    assert chain.values("platform_sdk_events_dropped_total > 0") == {}
