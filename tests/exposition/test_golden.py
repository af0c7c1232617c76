"""The whole exposition equals its golden files, and every parser there is accepts it."""

import logging
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from exporter.exposition.families import FAMILIES, series_names
from exporter.exposition.negotiation import Format
from exporter.web.routes import build_app
from platform_sdk.events.sample import PREFIX
from tests.exposition import golden
from tests.exposition.serving import FakeSite, serving
from tests.servers import PrometheusBinaries, poll_until
from tools.stack.servers import Prometheus

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.mark.parametrize("path", list(golden.FILES), ids=lambda path: path.name)
def test_exposition_is_the_golden_one(path: Path) -> None:
    """The exposition of everything is, byte for byte, the one that was looked at and committed."""
    assert golden.exposition(golden.FILES[path]) == path.read_text(encoding="utf-8")


CONFIGURED = (PREFIX, *(query["name"] for query in golden.QUERIES))
"""What the names begin with that an installation chooses."""


def test_golden_exposition_holds_every_family() -> None:
    """No family that the exporter declares is missing from the golden files, but the build's."""
    families = {family.name for family in parse_openmetrics(golden.exposition(OPENMETRICS))}
    declared = {f.name.removesuffix("_total") if f.type == "counter" else f.name for f in FAMILIES.values()}

    assert {name for name in families if not name.startswith(CONFIGURED)} == declared - {"platform_exporter_build_info"}


def test_families_have_the_declared_types_and_labels() -> None:
    """Every series has its family's type and, but for empty ones, its labels."""
    for parsed in parse_openmetrics(golden.exposition(OPENMETRICS)):
        family = FAMILIES.get(parsed.name) or FAMILIES.get(f"{parsed.name}_total")
        if family is None:
            assert parsed.name.startswith(CONFIGURED)
            continue
        assert parsed.type == family.type
        for sample in parsed.samples:
            assert set(sample.labels) - {"le"} <= set(family.labels)


def test_series_names_are_those_exposed() -> None:
    """`series_names`, which rules and documents are checked by, gives exactly the names that are exposed."""
    families = list(parse_classic(golden.exposition("text/plain")))
    exposed = {
        sample.name for family in families for sample in family.samples if not sample.name.startswith(CONFIGURED)
    }
    named = {name for family in FAMILIES.values() for name in series_names(family)}

    assert exposed == named - {"platform_exporter_build_info"}


def test_no_created_series_in_classic_text() -> None:
    """Created timestamps are OpenMetrics' own: in the classic format they would be series of gauges."""
    assert re.search(r"^\w+_created[ {]", golden.exposition("text/plain"), re.MULTILINE) is None


def test_counters_and_histograms_have_created_timestamps_in_openmetrics() -> None:
    """Prometheus knows when each counter and histogram began."""
    families = list(parse_openmetrics(golden.exposition(OPENMETRICS)))
    live = {"platform_component_probe_failures"}
    counted = [f for f in families if f.type in ("counter", "histogram", "summary") and f.name not in live]

    for family in counted:
        created = [sample.labels for sample in family.samples if sample.name == f"{family.name}_created"]
        begins = f"{family.name}_total" if family.type == "counter" else f"{family.name}_count"
        assert created == [sample.labels for sample in family.samples if sample.name == begins]


def test_status_is_a_stateset() -> None:
    """Of a component's four states exactly one is 1."""
    families = {family.name: family for family in parse_openmetrics(golden.exposition(OPENMETRICS))}
    status = families["platform_component_status"]
    states: dict[tuple[str, str], list[float]] = {}
    for sample in status.samples:
        states.setdefault((sample.labels["component"], sample.labels["name"]), []).append(sample.value)

    assert status.type == "stateset"
    assert [sorted(values) for values in states.values()] == [[0.0, 0.0, 0.0, 1.0]] * len(states)


@pytest.mark.parametrize("suite", ["stable", "newest"])
def test_promtool_finds_nothing_to_say(suite: str) -> None:
    """`promtool check metrics` of either release accepts the classic exposition without a remark."""
    promtool = PrometheusBinaries.of(suite).promtool.path
    text = golden.exposition("text/plain")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=120)

    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_prometheus_scrapes_it_clean(
    prometheus_binaries: PrometheusBinaries, start_prometheus: Callable[..., Prometheus]
) -> None:
    """Prometheus of either release stores every series of either format, and logs neither error nor warning."""
    with serving(build_app(site_of("text/plain"))) as classic, serving(build_app(site_of(OPENMETRICS))) as openmetrics:
        jobs = {"classic": classic.port, "openmetrics": openmetrics.port}
        targets = [
            f"{{job_name: {job}, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}" for job, port in jobs.items()
        ]
        config = f"global: {{scrape_interval: 1s}}\nscrape_configs: [{', '.join(targets)}]\n"
        prometheus = start_prometheus(config, binary=prometheus_binaries.prometheus)
        poll_until(lambda: len(prometheus.query("up == 1")) == 2)

        stored = prometheus.query("scrape_samples_post_metric_relabeling")
        assert {row["metric"]["job"]: int(row["value"][1]) for row in stored} == {
            "classic": samples(parse_classic(golden.exposition("text/plain"))),
            "openmetrics": samples(parse_openmetrics(golden.exposition(OPENMETRICS))),
        }
        assert [target["lastError"] for target in prometheus.targets()] == ["", ""]
        log = "".join(path.read_text() for path in prometheus.data_dir.parent.rglob("*.log"))
        assert log
        assert [line for line in log.splitlines() if "level=err" in line.lower() or "level=warn" in line.lower()] == []


def site_of(accept: str) -> FakeSite:
    """Return a site that always answers in one format."""
    site, content_type = FakeSite(), Format(accept).content_type
    site.render = lambda accept, timeout, client: (golden.exposition(content_type).encode(), content_type)  # type: ignore[method-assign]
    return site


def samples(families: Iterable[Metric]) -> int:
    """Return how many series there are."""
    return sum(len(family.samples) for family in families)


PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1"
    ";q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
WITH_PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"
)
NEGOTIATIONS = [
    ("", "text/plain; version=0.0.4"),
    ("*/*", "text/plain; version=0.0.4"),
    ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/plain; version=0.0.4"),
    ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
    ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0"),
    ('Application/OpenMetrics-Text ; Version="1.0.0"', "application/openmetrics-text; version=1.0.0"),
    ("application/openmetrics-text;version=0.0.1", "text/plain; version=0.0.4"),
    ("application/openmetrics-text;version=2.0.0", "text/plain; version=0.0.4"),
    ("application/openmetrics-text;version=bogus", "text/plain; version=0.0.4"),
    ("application/openmetrics-text;version=1.0.0;q=0", "text/plain; version=0.0.4"),
    ("application/openmetrics-text;version=1.0.0;q=x", "text/plain; version=0.0.4"),
    ("application/openmetrics-text;version=1.0.0;q=nan", "text/plain; version=0.0.4"),
    ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5", "text/plain; version=0.0.4"),
    ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.9",
     "application/openmetrics-text; version=1.0.0"),
    ("text/plain,application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
    ("*/*;q=0.1,application/openmetrics-text;q=0.05", "text/plain; version=0.0.4"),
    ("text/plain;version=9", "text/plain; version=0.0.4"),
    ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=1.0.0; escaping=allow-utf-8"),
    ("application/openmetrics-text;version=1.0.0;escaping=x y", "application/openmetrics-text; version=1.0.0"),
    (";,;;q=,=", "text/plain; version=0.0.4"),
    (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0"),
    (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8"),
    (WITH_PROTOBUF, "application/openmetrics-text; version=1.0.0"),
]  # fmt: skip


@pytest.mark.parametrize(("accept", "content_type"), NEGOTIATIONS)
def test_format_is_negotiated(accept: str, content_type: str) -> None:
    """The format is the preferred one of those there are, whatever else a client names."""
    form = Format(accept)

    assert form.content_type.replace("; charset=utf-8", "") == content_type
    assert form.openmetrics == content_type.startswith("application/openmetrics-text")


def test_format_says_its_end_in_openmetrics_only() -> None:
    """Parts put together end once, as OpenMetrics wants, and in classic text not at all."""
    assert golden.exposition(OPENMETRICS).count("# EOF") == 1
    assert golden.exposition(OPENMETRICS).endswith("# EOF\n")
    assert "# EOF" not in golden.exposition("text/plain")


def test_rollups_of_another_version_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """What an older or newer version stored, by another name, type or with other buckets, stops no scrape."""
    caplog.set_level(logging.DEBUG)
    old = [
        golden.total("platform_forgotten_total", 1, {"app": "a"}, "counter"),
        golden.total("platform_api_calls_total", 1, {"app": "a", "api": "b"}, "gauge"),
        golden.Total("platform_api_call_duration_seconds", "histogram", {"app": "a"}, 1.0, 1.0, [1.0], None, 0.0),
        golden.Total("platform_sample_x", "histogram", {"app": "a"}, 1.0, 1.0, None, None, 0.0),
    ]

    assert list(golden.collector.counted([golden.SourceView("s", tuple(old))], created=True)) == []
    assert caplog.text.count("comes from an older version") == len(old)
