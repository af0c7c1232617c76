"""What people read, as amtool of both releases renders it from the same notification."""

import html.parser
import json
from pathlib import Path

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
FIRING = {
    "status": "firing",
    "labels": {"alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": NAME},
    "annotations": {
        "summary": "redis <main> is down",
        "description": "platform_component_up is 0, expected 1.",
        "runbook_url": "http://runbook/#platformcomponentdown",
        "dashboard_url": "http://grafana/d/platform-components/components?var-name=a",
    },
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
}
RESOLVED = {
    "status": "resolved",
    "labels": {"alertname": "PlatformHttpErrorsHigh", "severity": "critical", "app": "shop"},
    "annotations": {
        "summary": "shop is healthy again",
        "description": "0 % of requests fail; critical above 5 %.",
        "runbook_url": "http://runbook/#platformhttperrorshigh",
        "dashboard_url": "http://grafana/d/platform-http/http?var-app=shop",
    },
    "startsAt": "2026-01-02T03:04:05Z",
    "endsAt": "2026-01-02T04:05:10Z",
    "generatorURL": "",
}
SILENCE = f"http://alertmanager/#/silences/new?filter={FILTER}"


def rendered(binaries: PrometheusBinaries, folder: Path, template: str, *alerts: object, kind: str = "text") -> str:
    """Return a template's text for a notification with these alerts."""
    data = {
        "receiver": "critical",
        "status": "firing" if FIRING in alerts else "resolved",
        "alerts": alerts,
        "groupLabels": {},
        "commonLabels": alerts[0]["labels"] if len(alerts) == 1 else {"severity": "critical"},  # type: ignore[index]
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


def test_title_says_severity_and_summary_or_how_many(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """One alert is named; several are counted."""
    titles = [
        rendered(prometheus_binaries, tmp_path, "platform.title", *alerts)
        for alerts in ([FIRING], [RESOLVED], [FIRING, RESOLVED])
    ]

    assert titles == [
        "[CRITICAL] redis <main> is down",
        "[RESOLVED] shop is healthy again",
        "[CRITICAL] 1 firing, 1 resolved",
    ]


def test_text_has_everything(prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """What, since when, value against threshold, the links; for a resolved alert how long it lasted."""
    assert rendered(prometheus_binaries, tmp_path, "platform.text", FIRING, RESOLVED).splitlines() == [
        "FIRING redis <main> is down",
        "platform_component_up is 0, expected 1.",
        "Since:     2026-01-02 03:04:05 UTC",
        "Severity:  critical",
        f"Labels:    component: redis, name: {NAME}",
        "Runbook:   http://runbook/#platformcomponentdown",
        "Dashboard: http://grafana/d/platform-components/components?var-name=a",
        "Query:     http://prometheus/graph",
        f"Silence:   {SILENCE}",
        "",
        "RESOLVED shop is healthy again",
        "0 % of requests fail; critical above 5 %.",
        "Since:     2026-01-02 03:04:05 UTC, until 04:05:10 UTC: lasted 1h1m5s",
        "Severity:  critical",
        "Labels:    app: shop",
        "Runbook:   http://runbook/#platformhttperrorshigh",
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
    assert "http://runbook/#platformcomponentdown" in text
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
