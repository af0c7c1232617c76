"""Rules for someone's Prometheus: the bundle's, without what only the bundle's own Prometheus has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.mixin import dashboards, hours, rules
from exporter.mixin.promql import adapted
from tests.mixin.installations import GRAFANA, JOB, RUNBOOK, installation, written
from tests.prometheus.names import FOREIGN
from tests.prometheus.names import rules as bundled
from tests.prometheus.promtool import promtool
from tests.servers import PrometheusBinaries

WATCHED = ("prometheus", "alert.manager")
OURS = f'job=~"{JOB}|prometheus|alert\\\\.manager"'


def made(**given: object) -> list[dict[str, Any]]:
    """Return all rules of an installation."""
    files = rules.files(installation(**given))  # type: ignore[arg-type]
    return [rule for groups in files.values() for group in groups for rule in group["rules"]]


def test_promtool_finds_nothing(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """Each release that is supported loads them, without a lint."""
    files = written(tmp_path, watched=WATCHED, replica_labels=("replica",))
    done = promtool(prometheus_binaries.promtool, "check", "rules", "--lint=all", "--lint-fatal", *files)

    assert done.returncode == 0, done.stdout + done.stderr


def test_none_is_missing() -> None:
    """Every rule of the bundle is there, in the same order."""
    names = [rule.get("alert", rule.get("record")) for rule in made()]

    assert sorted(names) == sorted(rule.get("alert", rule.get("record")) for rule in bundled())


def test_nothing_names_the_bundle() -> None:
    """Neither its job nor labels that its Prometheus adds."""
    text = json.dumps(made())

    assert "platform-exporter" not in text
    assert "externalLabels" not in text


def test_links_are_written_out() -> None:
    """Whoever reads a notification gets there without any external label."""
    for rule in made():
        if "alert" in rule:
            assert rule["annotations"]["runbook_url"].startswith(f"{RUNBOOK}?var-alert={rule['alert']}#")
            assert rule["annotations"]["dashboard_url"].startswith((f"{GRAFANA}/d/", f"{GRAFANA}{{{{ with query"))


def test_series_that_others_have_too_are_asked_of_our_jobs_only() -> None:
    """A shared Prometheus holds the disks, servers and targets of many others."""
    series = re.compile(rf"(?<![\w:])({'|'.join(FOREIGN.keys() - {'ALERTS'})})(?![\w:])(\{{[^}}]*\}})?")
    matchers = {found[2] for rule in made(watched=WATCHED) for found in series.finditer(rule["expr"])}

    assert matchers
    assert [one for one in matchers if not one or "job=" not in one] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('up{job="platform-exporter"} == 0', f'up{{job="{JOB}"}} == 0'),
        ('up{job!="platform-exporter"} == 0', 'up{job=~"prometheus|alert\\\\.manager"} == 0'),
        ("min(up)", f"min(up{{{OURS}}})"),
        ('node_filesystem_size_bytes{fstype!~"tmpfs"}', f'node_filesystem_size_bytes{{fstype!~"tmpfs", {OURS}}}'),
        ('process_open_fds{job=~"prometheus|alertmanager"}', 'process_open_fds{job=~"prometheus|alert\\\\.manager"}'),
        ("last_over_time(platform_open_alerts[1m])", "last_over_time(platform_open_alerts[60s])"),
        ("job_instance:process_restarts:changes15m >= 3", "job_instance:process_restarts:changes15m >= 3"),
        ("sum by (job, instance, alertmanager) (a:b:c)", "sum by (job, instance, alertmanager) (a:b:c)"),
        ("max without (instance, pod, node) (x)", "max without (instance, pod, node, replica) (x)"),
    ],
)
def test_a_query(query: str, expected: str) -> None:
    """What belongs to the bundle's Prometheus becomes this one's; all else stays."""
    assert adapted(query, installation(watched=WATCHED, replica_labels=("replica",))) == expected


@pytest.mark.parametrize(("interval_seconds", "window"), [(5, "70s"), (30, "75s"), (60, "150s")])
def test_windows_hold_two_scrapes(interval_seconds: int, window: str) -> None:
    """However seldom the exporter is scraped."""
    query = 'count_over_time(up{job="platform-exporter"}[70s])'

    assert f"[{window}]" in adapted(query, installation(interval_seconds))


def test_no_job_is_watched_unless_it_is_named() -> None:
    """Nothing has the job that then stands for those watched."""
    [down] = [rule for rule in made() if rule.get("alert") == "PlatformTargetDown"]

    assert down["expr"] == 'up{job=~"no job is watched"} == 0'


def test_what_an_earlier_release_wrote_goes(tmp_path: Path) -> None:
    """A rule that moved to another file would be there twice; a file of someone else's stays."""
    written(tmp_path)
    old, theirs = tmp_path / "rules/old.yml", tmp_path / "rules/theirs.yml"
    old.write_text((tmp_path / "rules/http.yml").read_text())
    theirs.write_text("groups: []\n")
    written(tmp_path)

    assert not old.exists()
    assert theirs.exists()


def test_dashboards_ask_of_our_jobs_only() -> None:
    """Their links and data sources are those of the bundle's; what they ask of others is restricted."""
    text = json.dumps(dashboards.dashboards(installation(watched=WATCHED)))

    assert 'job=\\"platform-exporter\\"' not in text
    assert (
        re.findall(r"[^\w:](?:up|process_\w+|scrape_\w+|prometheus_\w+)[)\[ ]", " ".join(asked(json.loads(text)))) == []
    )


def asked(value: Any) -> list[str]:
    """Return the queries of dashboards."""
    if isinstance(value, dict):
        own = [value["expr"]] if isinstance(value.get("expr"), str) else []
        return own + [found for one in value.values() for found in asked(one)]
    return [found for one in value for found in asked(one)] if isinstance(value, list) else []


def test_hours_are_those_of_the_installation() -> None:
    """Rules know when medium alerts are sent."""
    berlin = hours.working_hours("monday", "08:00", "16:00", "Europe/Berlin")
    [active] = [rule for rule in made(working_hours=berlin) if rule.get("record") == "platform:working_hours:active"]

    assert ">= bool 480" in active["expr"]
    assert "< bool 960" in active["expr"]


def test_files_are_yaml_that_reads_back(tmp_path: Path) -> None:
    """What is written is what was made."""
    written(tmp_path)
    files = rules.files(installation())

    assert {path.stem: yaml.safe_load(path.read_text())["groups"] for path in (tmp_path / "rules").iterdir()} == files
