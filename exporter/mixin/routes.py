"""Routes for an existing Alertmanager: a sub-tree that takes our alerts, and inhibition that concerns no others."""

import re
from typing import Any

import yaml

from exporter.mixin.hours import Interval
from exporter.mixin.installation import SENT_TO, Installation, ours

OURS = 'alertname=~"Platform.+"'
"""The matcher of our alerts, with those that applications and people open."""

PREFIX, NOBODY = "platform-exporter-", "nobody"
"""What the names of our own time intervals and receivers begin with, and the receiver that notifies no one."""

Json = dict[str, Any]


def additions(installation: Installation) -> Json:
    """Return what an existing configuration gets: `route` is one before its others; the rest are lists to add to."""
    tree = _tree(with_history="history" in installation.receivers)
    intervals: dict[str, Interval] = {"working-hours": installation.working_hours, "digest": installation.digest}
    return {
        "route": {"matchers": [OURS], **_route(tree["route"], installation)},
        "inhibit_rules": [_inhibition(rule) for rule in tree["inhibit_rules"]],
        "time_intervals": [{"name": PREFIX + name, "time_intervals": [one]} for name, one in intervals.items()],
        "receivers": [{"name": PREFIX + NOBODY}],
    }


def is_ours(entry: Json) -> bool:
    """Tell whether an entry of a list of a configuration was added by us."""
    matchers = entry.get("matchers") or entry.get("source_matchers") or [""]
    return matchers[0] == OURS or str(entry.get("name", "")).startswith(PREFIX)


def _tree(*, with_history: bool) -> Json:
    text = ours("alertmanager/routes.yml").read_text(encoding="utf-8")
    if not with_history:
        text = re.sub(r" *# <history>\n.*?# </history>\n", "", text, flags=re.DOTALL)
    tree: Json = yaml.safe_load(text)
    return tree


def _route(route: Json, installation: Installation) -> Json:
    """Return a route with the installation's receivers; without one it is sent where the route around it sends."""
    found = {key: value for key, value in route.items() if key not in ("receiver", "routes")}
    name = route["receiver"]
    if receiver := installation.receivers.get(name):
        found["receiver"] = receiver
    elif name == NOBODY or name == "watchdog":
        # Always firing: nobody who has not asked for it is notified every minute.
        found["receiver"] = PREFIX + NOBODY
    elif name not in SENT_TO:
        raise ValueError(f"unknown receiver {name!r} in routes.yml: expected one of {', '.join(SENT_TO)}")
    if "active_time_intervals" in found:
        found["active_time_intervals"] = [PREFIX + one for one in found["active_time_intervals"]]
    if "routes" in route:
        found["routes"] = [_route(one, installation) for one in route["routes"]]
    return found


def _inhibition(rule: Json) -> Json:
    """Return a rule of inhibition that neither mutes nor is caused by the alerts of others."""
    return {key: [OURS, *value] if key.endswith("_matchers") else value for key, value in rule.items()}
