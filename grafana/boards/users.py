"""The dashboard of users: who is active, and what they do.

Panels that identify people (users, addresses, software) are in collapsed sections and use the restricted data source:
viewers without access meet no error before opening them.
"""

from grafana_foundation_sdk.builders import stat

from grafana.design import colors, columns, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import health, shared, users

VARIABLES = (variables.labels("app", "App", "platform_user_activity_total"), variables.text("user", "User id"))
LOGINS = {"logins": colors.GREEN, "logouts": colors.BLUE, "failed": colors.RED}
KINDS = {"request": colors.BLUE, "activity": colors.GREEN, "error": colors.RED}
OUTCOMES = {"done": colors.GREEN, "failed": colors.RED, **colors.SEVERITIES}
TO_USER = tables.link(
    "user_id", "Their timeline", links.keeping("users", "app") + "&var-user=${__data.fields.user_id:percentencode}"
)
TWICE = " A user of two apps counts in both."


def _first_lines() -> list[Line]:
    failing = panels.health_tile(
        "Failed logins",
        "Whether more logins fail than thresholds allow; the worst app counts. Unknown below the minimum of events.",
        health.indicator("login_failures"),
    )
    logins = panels.number_tile("Logins", "Logins in the chosen range.", {"Logins": users.LOGINS_IN_RANGE}).decimals(0)
    tiles = [
        _number("Active now", f"Distinct users seen in the last 5 minutes.{TWICE}", users.active("5m")),
        _number("Active today", f"Distinct users seen in the last 24 hours.{TWICE}", users.active("1d")),
        _number("Weekly active", f"Distinct users seen in the last 7 days.{TWICE}", users.active("7d")),
        _number("Sessions now", "Distinct sessions seen in the last 5 minutes.", users.active("5m", "sessions")),
    ]
    return [Line(3, tiles[:3]), Line(3, [tiles[3], logins, failing])]


def _number(title: str, description: str, query: str) -> stat.Panel:
    return panels.number_tile(title, description, {title: query}).decimals(0)


def _active() -> Line:
    by_window = panels.lines(
        "Active users", f"Distinct users seen within each window.{TWICE}", {"{{window}}": users.ACTIVE}
    )
    by_app = panels.lines(
        "Active users by app", "Users seen in the last 5 minutes.", {"{{app}}": users.ACTIVE_BY_APP}, stacked=True
    )
    sessions = panels.lines(
        "Active sessions", "Distinct sessions seen within each window.", {"{{window}}": users.SESSIONS}
    )
    return Line(8, [by_window, by_app, sessions])


def _logins() -> Line:
    both = panels.lines(
        "Logins and logouts",
        "Login attempts, logouts, and failed logins per minute.",
        {"logins": users.LOGINS, "logouts": users.LOGOUTS, "failed": users.FAILED_LOGINS},
        columns.PER_MINUTE,
        named=LOGINS,
    )
    failed = panels.lines(
        "Failed logins by app", "Within 5 minutes.", {"{{app}}": users.FAILED_LOGINS_BY_APP}, indicator="login_failures"
    )
    usual = panels.lines(
        "Logins compared with the usual",
        "Logins of 15 minutes, and the least and the most that are usual at this hour of the week (dashed).",
        {"{{app}}": users.LOGINS_NOW} | users.LOGIN_BAND,
        dashed="usual",
    )
    return Line(8, [both, failed, usual])


def _activity() -> Section:
    by_type = panels.lines(
        "Activity by type", "Activities per minute.", {"{{activity}}": users.BY_TYPE}, columns.PER_MINUTE, stacked=True
    )
    failures = panels.lines(
        "Failed activity", "Share that failed, over 5 minutes.", {"{{activity}}": users.FAILURES}, "percentunit"
    )
    by_role = panels.lines(
        "Activity by role", "Activities per minute.", {"{{role}}": users.BY_ROLE}, columns.PER_MINUTE, stacked=True
    )
    roles = panels.doughnut(
        "Users by role", "In the range. A user with two roles counts in both.", users.USERS_BY_ROLE, every_row=True
    )
    modules = panels.bars(
        "Activity by module", "Activities by part of the application; the ten busiest.", users.MODULES
    )
    lines = [
        Line(8, [by_type, failures]),
        Line(8, [by_role, roles, modules], (9, 6, 9)),
        Line(9, [_features()]),
        Line(9, [_endpoints()]),
    ]
    return Section("Activity", lines)


def _features() -> tables.tables.Panel:
    return tables.table(
        "Features",
        "The most used features in the chosen range, the number of their users, and how often they failed.",
        users.FEATURES,
        [
            *("app", "module", "feature", tables.column("events", "Times"), "users"),
            *(tables.column("failed", width=80, unit="percentunit"), "mean_seconds", "last_used"),
        ],
    ).no_value("No activity with a feature found")


def _endpoints() -> tables.tables.Panel:
    there = links.to("http", app="${__data.fields.app:percentencode}", route="${__data.fields.route:percentencode}")
    return tables.table(
        "Top endpoints",
        "The most requested endpoints, and how they responded." + shared.BOUNDED,
        users.ENDPOINTS,
        [
            *("app", tables.link("route", "The endpoint in detail", there), "requests"),
            *(tables.column("errors", "5xx", 80, "percentunit"), "mean_seconds", "last_asked"),
        ],
    )


def _who() -> Section:
    top = tables.table(
        "Top users",
        "The most active users. Sessions are those with activities. An id opens the timeline." + shared.BOUNDED,
        targets.restricted(users.TOP),
        [
            *(TO_USER, "roles", "activities", "requests", tables.column("failed", "5xx responses"), "sessions"),
            "last_seen",
        ],
    )
    browsers = panels.doughnut(
        "Browsers", "Requests by client software." + shared.BOUNDED, targets.restricted(users.BROWSERS), every_row=True
    )
    agents = tables.table(
        "User agents",
        "The names that clients gave themselves." + shared.BOUNDED,
        targets.restricted(users.AGENTS),
        [tables.trace("user_agent"), "requests", "users", "last_seen"],
    )
    lines = [Line(10, [top]), Line(8, [browsers, agents], (8, 16))]
    return Section("Users by name (restricted)", lines, collapsed=True)


def _one() -> Section:
    whom = "The user whose id is entered above; without one, the most active user."
    about = (
        tables.table(
            "One user",
            f"What one user did in the chosen range. {whom}",
            targets.restricted(users.ABOUT),
            [
                *(
                    tables.column("user_id", width=140),
                    "roles",
                    tables.column("first_seen", width=155, unit=columns.AT),
                ),
                *(tables.column("last_seen", width=155, unit=columns.AT), "sessions", "activities", "requests"),
                *(tables.warned("errors", colors.RED), "addresses"),
            ],
        )
        .min_width(80)
        .no_value("No activity of this user found")
    )
    course = panels.bars(
        "Activity of one user",
        f"Requests, activities and errors. {whom}",
        targets.restricted(users.COURSE, shape="time_series"),
        named=KINDS,
    )
    timeline = (
        tables.table(
            "Timeline",
            f"The last 300 events of one user in the chosen range, the newest first. {whom}",
            targets.restricted(users.TIMELINE),
            [
                *(tables.column("at", None, 150, columns.CLOCK), tables.words("kind", KINDS), "app"),
                *(tables.wrapped("what"), tables.words("outcome", OUTCOMES, 75), "duration_seconds"),
                *(tables.column("session", width=90), tables.column("address", width=110)),
                tables.wrapped("software", 90),
            ],
        )
        .min_width(80)
        .no_value("No activity of this user found")
    )
    lines = [Line(4, [about]), Line(6, [course]), Line(14, [timeline])]
    return Section("One user (restricted)", lines, collapsed=True)


BOARD = Board(
    "users",
    "How many users are active, and what do they do?",
    [*_first_lines(), _active(), _logins(), _activity(), _who(), _one()],
    VARIABLES,
)
