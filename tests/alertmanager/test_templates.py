"""What people read, as amtool of both releases renders it from the same notification."""

import html
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.alertmanager.shipped import FOLDER
from tests.alertmanager.test_alertmanager_config import amtool
from tests.servers import PrometheusBinaries

# A name that would break a filter, an address, HTML and Slack's markup, were it not escaped.
NAME = 'a "b\\c & d+e'
FILTER = (
    "%7Balertname%3D%22PlatformComponentDown%22%2Ccomponent%3D%22redis%22%2Cname%3D%22a%20%5C%22b%5C%5Cc%20%26%20d%2Be"
    "%22%2Cseverity%3D%22critical%22%7D"
)
FIRING: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": NAME},
    "annotations": {
        "summary": "redis <main> is down",
        "description": "platform_component_up is 0, expected 1.",
        "runbook_url": "http://runbook/?var-alert=PlatformComponentDown#platformcomponentdown",
        "dashboard_url": "http://grafana/d/platform-components/components?var-name=a",
    },
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
}
RESOLVED: dict[str, Any] = {
    "status": "resolved",
    "labels": {"alertname": "PlatformHttpErrorsHigh", "severity": "critical", "app": "shop"},
    "annotations": {
        "summary": "shop is healthy again",
        "description": "0 % of requests fail; critical above 5 %.",
        "runbook_url": "http://runbook/?var-alert=PlatformHttpErrorsHigh#platformhttperrorshigh",
        "dashboard_url": "http://grafana/d/platform-http/http?var-app=shop",
    },
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "2026-01-02T04:05:10Z",
    "generatorURL": "",
}


def with_summary(summary: str) -> dict[str, Any]:
    """Return a firing alert with this summary."""
    return {**FIRING, "annotations": {**FIRING["annotations"], "summary": summary}}


SILENCE = f"http://alertmanager/#/silences/new?filter={FILTER}"


def rendered(
    binaries: PrometheusBinaries, folder: Path, template: str, *alerts: dict[str, Any], kind: str = "text"
) -> str:
    """Return a template's text for a notification with these alerts."""
    data = {
        "receiver": "critical",
        "status": "firing" if any(one["status"] == "firing" for one in alerts) else "resolved",
        "alerts": alerts,
        "groupLabels": {},
        "commonLabels": dict(set.intersection(*(set(one["labels"].items()) for one in alerts))),
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
    }
    (folder / "data.json").write_text(json.dumps(data))
    done = amtool(
        binaries.amtool,
        *("template", "render", f"--template.glob={FOLDER}/templates/*.tmpl", f"--template.type={kind}"),
        *(f"--template.data={folder}/data.json", f'--template.text={{{{ template "{template}" . }}}}'),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TITLES: list[tuple[list[dict[str, Any]], str]] = [
    ([FIRING], "[CRITICAL] redis <main> is down"),
    ([RESOLVED], "[RESOLVED] shop is healthy again"),
    ([FIRING, FIRING], "[CRITICAL] redis <main> is down +1 more"),
    ([RESOLVED, RESOLVED, RESOLVED], "[RESOLVED] shop is healthy again +2 more"),
    ([RESOLVED, FIRING], "[CRITICAL] redis <main> is down, 1 resolved"),
    ([RESOLVED, FIRING, RESOLVED, FIRING], "[CRITICAL] redis <main> is down +1 more, 2 resolved"),
    ([with_summary("a\n  b")], "[CRITICAL] a b"),
    ([with_summary("é" * 200)], f"[CRITICAL] {'é' * 100}…"),
    ([{**FIRING, "annotations": {}}], "[CRITICAL] PlatformComponentDown"),
    ([{**FIRING, "labels": {"alertname": "Foreign"}, "annotations": {}}], "[FIRING] Foreign"),
]


@pytest.mark.parametrize(("alerts", "title"), TITLES, ids=[title[:60] for _, title in TITLES])
def test_title_names_the_first_alert_and_how_many_more_there_are(
    prometheus_binaries: PrometheusBinaries, tmp_path: Path, alerts: list[dict[str, Any]], title: str
) -> None:
    """A phone shows the title only: severity, what is wrong, and how much else; Slack's is the same, escaped."""
    slack = rendered(prometheus_binaries, tmp_path, "platform.slack.title", *alerts)

    assert rendered(prometheus_binaries, tmp_path, "platform.title", *alerts) == title
    assert html.unescape(slack) == title


@pytest.mark.parametrize("template", ["platform.email.text", "platform.email.html", "platform.slack.text"])
@pytest.mark.parametrize(("firing", "resolved"), [(10, 0), (11, 0), (0, 4), (90, 30)])
def test_of_many_alerts_ten_are_listed_and_the_rest_counted(
    prometheus_binaries: PrometheusBinaries, tmp_path: Path, template: str, firing: int, resolved: int
) -> None:
    """Ten that fire and ten that ended; then how many more, and one silence for all that fire."""
    alerts = [{**with_summary(f"outage {n};"), "fingerprint": str(n)} for n in range(firing)]
    alerts += [{**RESOLVED, "annotations": {"summary": f"end {n};"}} for n in range(resolved)]
    text = rendered(prometheus_binaries, tmp_path, template, *alerts, kind="html" if "html" in template else "text")
    plain = re.sub(r"<[^>]*\|([^>]*)>|<[^>]*>", r"\1", text)

    assert plain.count("FIRING outage") == min(firing, 10) or plain.count("*FIRING* outage") == min(firing, 10)
    assert text.count("lasted 1h1m5s") == min(resolved, 10)
    assert ("and 80 more" in plain) == (firing == 90)
    assert ("and 1 more" in plain) == (firing == 11)
    assert ("and 20 more resolved" in plain) == (resolved == 30)
    assert text.count("/silences/new") == (1 if firing else 0)


def test_text_has_everything(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """What, since when, value against threshold, the links; for a resolved alert how long it lasted."""
    assert rendered(prometheus_binaries, tmp_path, "platform.text", FIRING, RESOLVED).splitlines() == [
        "FIRING redis <main> is down",
        "platform_component_up is 0, expected 1.",
        "Since:     2026-01-02 03:04:05 UTC",
        "Severity:  critical",
        f"Labels:    component: redis, name: {NAME}",
        "Runbook:   http://runbook/?var-alert=PlatformComponentDown#platformcomponentdown",
        "Dashboard: http://grafana/d/platform-components/components?var-name=a",
        "Query:     http://prometheus/graph",
        f"Silence:   {SILENCE}",
        "",
        "RESOLVED shop is healthy again",
        "0 % of requests fail; critical above 5 %.",
        "Since:     2026-01-02 03:04:05 UTC, until 04:05:10 UTC: lasted 1h1m5s",
        "Severity:  critical",
        "Labels:    app: shop",
        "Runbook:   http://runbook/?var-alert=PlatformHttpErrorsHigh#platformhttperrorshigh",
        "Dashboard: http://grafana/d/platform-http/http?var-app=shop",
        "",
    ]


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("platform.email.text", "text"),
        ("platform.email.html", "html"),
        ("platform.slack.text", "text"),
        ("platform.discord.text", "text"),
        ("platform.teams.text", "text"),
    ],
)
def test_every_channel_says_the_same(
    prometheus_binaries: PrometheusBinaries, tmp_path: Path, template: str, kind: str
) -> None:
    """No channel leaves out the value, the times, or a link."""
    text = rendered(prometheus_binaries, tmp_path, template, FIRING, RESOLVED, kind=kind)
    plain = text.replace("\\_", "_")

    assert "platform_component_up is 0, expected 1." in plain
    assert "2026-01-02 03:04:05 UTC" in text
    assert "lasted 1h1m5s" in text
    assert "http://runbook/?var-alert=PlatformComponentDown#platformcomponentdown" in text
    assert "http://grafana/d/platform-components/components?var-name=a" in text
    # HTML's own escaping writes the same in lower case.
    assert SILENCE.lower() in text.lower()
    assert "<no value>" not in text


def test_slack_markup_is_escaped(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """A summary cannot create a link or mention everyone."""
    text = rendered(prometheus_binaries, tmp_path, "platform.slack.text", FIRING)

    assert "redis &lt;main&gt; is down" in text


class _Reader(html.parser.HTMLParser):
    """Keep tags that were opened and not closed, and all attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_whole_and_readable_anywhere(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """Tags are closed, names escaped, styles inline; it fits a phone, and knows light and dark screens."""
    text = rendered(prometheus_binaries, tmp_path, "platform.email.html", FIRING, RESOLVED, kind="html")
    reader = _Reader()
    reader.feed(text)
    metas = {tag.get("name"): tag.get("content") for name, tag in reader.attributes if name == "meta"}

    assert reader.open == []
    assert "redis &lt;main&gt; is down" in text
    assert "ZgotmplZ" not in text, "html/template refuses to write a value where it stands"
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["color-scheme"] == "light dark"
    assert "prefers-color-scheme: dark" in text
    assert all("style" in tag for name, tag in reader.attributes if name in ("body", "p", "h1", "a", "div"))
    assert not [tag for name, tag in reader.attributes if name in ("img", "link", "script")], "nothing is loaded"
