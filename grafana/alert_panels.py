"""Draw what concerns alerts."""

from grafana import queries
from grafana.design import PROMETHEUS, SEVERITY_COLORS, Json, panel, target

RUNBOOK_LINK = {"title": "Runbook", "url": "/d/platform-runbook/runbook", "targetBlank": True}


def alert_annotation() -> Json:
    """Return the marks on all charts where a grave alert fired."""
    return {
        "name": "Alerts",
        "datasource": PROMETHEUS,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing", severity=~"critical|high"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}} {{app}} {{component}} {{name}} {{source}}",
        "step": "60s",
    }


def firing_by_severity() -> Json:
    """Return the number of firing alerts of each severity."""
    return panel(
        "stat",
        "Firing alerts by severity",
        "How many alerts fire now. Those muted by inhibition or a silence are counted too.",
        "short",
        [target(queries.firing(severity), severity, instant=True) for severity in SEVERITY_COLORS],
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": _from_one("red"),
        },
        overrides=[
            {
                "matcher": {"id": "byName", "options": severity},
                "properties": [{"id": "thresholds", "value": _from_one(color)}],
            }
            for severity, color in SEVERITY_COLORS.items()
        ],
        options={
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value_and_name",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )


def firing_alerts() -> Json:
    """Return the table of firing alerts."""
    hidden = dict.fromkeys(("Time", "Value", "__name__", "alertstate", "job"), True)
    return panel(
        "table",
        "Firing alerts",
        "Every alert that fires now, the dead man's switch left out. The runbook has an entry for each.",
        "short",
        [{**target(queries.FIRING_ALERTS, instant=True), "format": "table"}],
        no_value="No alert fires",
        overrides=[
            {
                "matcher": {"id": "byName", "options": "severity"},
                "properties": [
                    {
                        "id": "mappings",
                        "value": [
                            {"type": "value", "options": {name: {"color": color, "index": number}}}
                            for number, (name, color) in enumerate(SEVERITY_COLORS.items())
                        ],
                    },
                    {"id": "custom.cellOptions", "value": {"type": "color-text"}},
                ],
            },
            {
                "matcher": {"id": "byName", "options": "alertname"},
                "properties": [{"id": "links", "value": [RUNBOOK_LINK]}],
            },
        ],
        options={"cellHeight": "sm", "showHeader": True, "footer": {"show": False, "reducer": ["sum"], "fields": ""}},
        transformations=[
            {
                "id": "organize",
                "options": {
                    "excludeByName": hidden,
                    "indexByName": {"severity": 0, "alertname": 1},
                    "renameByName": {},
                },
            }
        ],
    )


def _from_one(color: str) -> Json:
    return {"mode": "absolute", "steps": [{"color": "green", "value": None}, {"color": color, "value": 1}]}
