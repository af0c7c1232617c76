"""The shipped Prometheus and Alertmanager together: from a series that changes to the notice that arrives."""

import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.alertmanager.shipped import turned_to
from tests.prometheus.names import ROOT
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager, Prometheus


class Component:
    """A stand-in for an exporter that knows one component."""

    def __init__(self) -> None:
        self.up = True
        component = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = (
                    f'platform_component_up{{component="redis",name="main"}} {int(component.up)}\n'
                    'platform_threshold{indicator="minimum_events"} 20\n'
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def component() -> Iterator[Component]:
    """Return the stand-in."""
    one = Component()
    yield one
    one.close()


def test_a_component_that_is_down_is_reported_and_so_is_its_return(
    prometheus_binaries: PrometheusBinaries,
    start_prometheus: Callable[..., Prometheus],
    start_alertmanager: Callable[..., Alertmanager],
    component: Component,
    receiver: HttpReceiver,
    tmp_path: Path,
) -> None:
    """The shipped files with only their addresses exchanged; the notification says all that people need."""
    alertmanager = start_alertmanager(turned_to(receiver.url, tmp_path / "am"), binary=prometheus_binaries.alertmanager)
    shutil.copytree(ROOT / "prometheus", tmp_path / "prometheus")
    addresses = {"exporter": component.address, "alertmanager": alertmanager.address}
    for file in (tmp_path / "prometheus/targets").glob("*.yml"):
        file.write_text(f"- targets: ['{addresses[file.stem]}']\n" if file.stem in addresses else "[]\n")
    prometheus = start_prometheus(tmp_path / "prometheus/prometheus.yml", binary=prometheus_binaries.prometheus)
    poll_until(lambda: prometheus.query("component:platform_health:state == 0"), 30, interval_seconds=0.2)

    component.up = False
    poll_until(lambda: receiver.alerts("firing"), 180, interval_seconds=0.1)
    component.up = True
    poll_until(lambda: receiver.alerts("resolved"), 180, interval_seconds=0.1)
    [notice] = receiver.alerts("firing")

    assert notice["labels"] == {
        "alertname": "PlatformComponentDown",
        "severity": "critical",
        "component": "redis",
        "name": "main",
    }
    assert notice["annotations"]["summary"] == "redis main is down"
    assert notice["annotations"]["runbook_url"].startswith("http://127.0.0.1:3000/d/platform-runbook/")
    assert notice["annotations"]["dashboard_url"].startswith("http://127.0.0.1:3000/d/platform-components/")
    assert len(receiver.arrivals) == 2
