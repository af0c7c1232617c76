"""Routes as an AlertmanagerConfig of Prometheus's operator, which has them in its own spelling."""

import re
from typing import Any

from exporter.mixin import routes
from exporter.mixin.installation import SENT_TO, Installation

VERSION = "monitoring.coreos.com/v1alpha1"

Json = dict[str, Any]

_MATCHER = re.compile(r'(?P<name>\w+)(?P<type>=~|!~|!=|=)"(?P<value>[^"]*)"')
_INHIBITION = {"source_matchers": "sourceMatch", "target_matchers": "targetMatch"}


def spec(installation: Installation) -> Json:
    """Return the `spec`: its receivers have names only. Of each receiver of SENT_TO there is one of the same name.

    Raises ValueError where an interval is not in UTC: the type knows no time zone.
    """
    found = routes.additions(installation)
    tree = _route(found["route"])
    return {
        "route": tree,
        "inhibitRules": [
            {
                _INHIBITION.get(key, key): _matchers(value) if key in _INHIBITION else value
                for key, value in rule.items()
            }
            for rule in found["inhibit_rules"]
        ],
        "muteTimeIntervals": [_interval(one) for one in found["time_intervals"]],
        "receivers": [{"name": name} for name in sorted(_receivers(tree))],
    }


def own_receivers() -> dict[str, str]:
    """Return a receiver for all that Alertmanager sends, named as what it is sent."""
    return {name: name for name in SENT_TO}


def _route(route: Json) -> Json:
    found = {_camel(key): value for key, value in route.items()}
    if "matchers" in found:
        found["matchers"] = _matchers(found["matchers"])
    if "routes" in found:
        found["routes"] = [_route(one) for one in found["routes"]]
    return found


def _receivers(route: Json) -> set[str]:
    return {route["receiver"]}.union(*(_receivers(one) for one in route.get("routes", [])))


def _matchers(texts: list[str]) -> list[Json]:
    return [_matcher(text) for text in texts]


def _matcher(text: str) -> Json:
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise ValueError(f'invalid matcher {text!r}: expected NAME="VALUE", or with !=, =~ or !~')
    return {"name": match["name"], "value": match["value"], "matchType": match["type"]}


def _interval(named: Json) -> Json:
    [interval] = named["time_intervals"]
    if interval.get("location", "UTC") != "UTC":
        raise ValueError(f"invalid time zone {interval['location']} in an AlertmanagerConfig: expected UTC")
    found = {"times": [{_camel(key): value for key, value in one.items()} for one in interval["times"]]}
    if "weekdays" in interval:
        found["weekdays"] = interval["weekdays"]
    return {"name": named["name"], "timeIntervals": [found]}


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(word.title() for word in others)
