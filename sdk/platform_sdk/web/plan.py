"""Prepare the options that every request needs: what is left out, whose word about addresses counts, which routes are
activities.
"""

from collections.abc import Mapping
from typing import Any

from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.events.http_request import METHODS
from platform_sdk.options import Options

Rule = tuple[str, str | None, str | None]
"""Activity, module, feature."""

UNMATCHED = "(unmatched)"
OTHER_METHOD = "OTHER"

_METHODS = {method: method for method in METHODS}


class Plan:
    """Hold what was made of one `Options`."""

    __slots__ = ("_exact", "_prefixes", "leaves_out_admin", "options", "rules", "trusted_proxies")

    def __init__(self, options: Options) -> None:
        self.options = options
        self.trusted_proxies = options.trusted_proxies
        self._exact = frozenset(path.rstrip("/") or "/" for path in options.excluded_paths)
        self._prefixes = tuple(path.rstrip("/") + "/" for path in options.excluded_paths if path.strip("/"))
        self.leaves_out_admin = "/admin" in self._exact
        self.rules = _rules(options.activity_rules)

    def leaves_out(self, path: str) -> bool:
        """Tell whether requests of this path are left out: /health is and /health/db, but /healthcare is not."""
        return path.startswith(self._prefixes) or path in self._exact

    def rule(self, method: str, route: str) -> Rule | None:
        """Return the activity that a request of this route is, if it is one."""
        return self.rules.get(f"{method} {route}") or self.rules.get(route)


_newest: Plan | None = None


def plan_of(intake: Intake) -> Plan:
    """Return the plan for the options in force."""
    global _newest
    plan = _newest
    if plan is None or plan.options is not intake.options:
        plan = _newest = Plan(intake.options)
    return plan


def closed_method(method: Any) -> str:
    """Return a request's method, "OTHER" for one that is not in the closed list: a scanner can make up any number."""
    return _METHODS.get(method, OTHER_METHOD)


def _rules(given: Mapping[str, Any]) -> dict[str, Rule]:
    """Return activity rules by "route" or "METHOD route"; (activity,) and "activity" are short for the whole."""
    rules: dict[str, Rule] = {}
    for key, value in given.items():
        parts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        if not 1 <= len(parts) <= 3 or not all(part is None or isinstance(part, str) for part in parts) or not parts[0]:
            note("activity_rules", f"{key}: {value!r}; wanted (activity, module, feature), the last two may be None")
            continue
        activity, module, feature = (*parts, None, None)[:3]
        method, _, route = key.strip().rpartition(" ")
        rules[f"{method.strip().upper()} {route}" if method else route] = (activity, module, feature)
    return rules
