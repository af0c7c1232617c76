"""Draw users: who is active, and what they do.

What names somebody (users, addresses, software) is in folded sections, asked of the restricted data source: whoever may
not see it meets no error before opening them.
"""

from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import health, shared, users

VARIABLES = (
    variables.labels("app", "App", "platform_user_activity_total"),
    variables.text("user", "User id"),
)
LOGINS = {"logins": colors.GREEN, "logouts": colors.BLUE, "failed": colors.RED}
KINDS = {"request": colors.BLUE, "activity": colors.GREEN, "error": colors.RED}
OUTCOMES = {"done": colors.GREEN, "failed": colors.RED, **colors.SEVERITIES}
ONE_USER = links.keeping("users", "app") + "&var-user=${__data.fields.user_id:percentencode}"
TWICE = "Who uses two apps counts in both."


def _first_line() -> Line:
    failing = panels.health_tile(
        "Failed logins",
        "Whether more logins fail than thresholds allow; the worst app counts. Unknown where too little is done.",
        targets.now(health.indicator("login_failures"), "Failed logins"),
    )
    logins = panels.number_tile(
        "Logins", "Logins in the chosen range.", "short", targets.now(users.LOGINS_IN_RANGE, "Logins")
    )
    return Line(
        4,
        [
            (_number("Active now", "5m", "5 minutes"), 4),
            (_number("Active today", "1d", "24 hours"), 4),
            (_number("Active this week", "7d", "7 days"), 4),
            (
                panels.number_tile(
                    "Sessions now",
                    "Distinct sessions seen in the last 5 minutes.",
                    "short",
                    targets.series(users.sessions("5m"), "Sessions"),
                ).decimals(0),
                4,
            ),
            (logins.decimals(0), 4),
            (failing, 4),
        ],
    )


def _number(title: str, window: str, words: str) -> panels.stat.Panel:
    described = f"Distinct users seen in the last {words}. {TWICE}"
    return panels.number_tile(title, described, "short", targets.series(users.active(window), "Users")).decimals(0)


def _active() -> Line:
    by_window = panels.lines(
        "Active users",
        f"Distinct users seen within each window. {TWICE}",
        "short",
        [targets.series(users.ACTIVE, "{{window}}")],
    )
    by_app = panels.lines(
        "Active users by app",
        "Distinct users seen in the last 5 minutes.",
        "short",
        [targets.series(users.ACTIVE_BY_APP, "{{app}}")],
        stacked=True,
    )
    sessions = panels.lines(
        "Active sessions",
        "Distinct sessions seen within each window.",
        "short",
        [targets.series(users.SESSIONS, "{{window}}")],
    )
    return Line(8, [(by_window, 8), (by_app, 8), (sessions, 8)])


def _logins() -> Line:
    both = panels.lines(
        "Logins and logouts",
        "Logins that were tried, logouts, and logins that failed, per minute.",
        "cpm",
        [
            targets.series(users.LOGINS, "logins"),
            targets.series(users.LOGOUTS, "logouts"),
            targets.series(users.FAILED_LOGINS, "failed"),
        ],
        named=LOGINS,
    )
    failed = panels.lines(
        "Failed logins by app",
        "Logins that failed within 5 minutes, which alerts judge.",
        "short",
        [
            targets.series(users.FAILED_LOGINS_BY_APP, "{{app}}"),
            targets.threshold_lines(shared.threshold("login_failures")),
        ],
    )
    return Line(8, [(both, 12), (failed, 12)])


def _what() -> Section:
    by_type = panels.lines(
        "Activity by type",
        "Things users did per minute.",
        "cpm",
        [targets.series(users.BY_TYPE, "{{activity}}")],
        stacked=True,
    )
    failures = panels.lines(
        "Failed activity",
        "Share of what users tried that failed, over 5 minutes.",
        "percentunit",
        [targets.series(users.FAILURES, "{{activity}}")],
    )
    by_role = panels.lines(
        "Activity by role",
        "Things users did per minute, by the role they had.",
        "cpm",
        [targets.series(users.BY_ROLE, "{{role}}")],
        stacked=True,
    )
    roles = panels.doughnut(
        "Users by role",
        "Distinct users in the chosen range; who had two roles counts in both.",
        "short",
        targets.sql(users.USERS_BY_ROLE),
    ).reduce_options(panels.last(every_row=True))
    modules = panels.bars(
        "Activity by module",
        "Things users did, by part of the application; the ten busiest.",
        "short",
        [targets.sql(users.MODULES, shape="time_series")],
    )
    lines = [
        Line(8, [(by_type, 12), (failures, 12)]),
        Line(8, [(by_role, 9), (roles, 6), (modules, 9)]),
        Line(10, [(_features(), 12), (_endpoints(), 12)]),
    ]
    return Section("What they do", lines)


def _features() -> tables.tables.Panel:
    return tables.table(
        "Features",
        "The features used most in the chosen range, how many users used them, and how often they failed.",
        [targets.sql(users.FEATURES)],
        [
            tables.column("events", title="Times", width=80),
            tables.column("users", title="Users", width=80),
            tables.column("failed", unit="percentunit", title="Failed", width=80),
            tables.column("mean_seconds", unit="s", title="Mean duration", width=120),
            tables.column("last_used", unit="dateTimeFromNow", title="Last used", width=130),
        ],
        nothing="Nothing was written with a feature",
    )


def _endpoints() -> tables.tables.Panel:
    there = links.to("http", app="${__data.fields.app:percentencode}", route="${__data.fields.route:percentencode}")
    return tables.table(
        "Top endpoints",
        "The endpoints asked most in the chosen range, and how they answered.",
        [targets.sql(users.ENDPOINTS)],
        [
            tables.link("route", "The endpoint in detail", there),
            tables.column("requests", title="Requests", width=100),
            tables.column("errors", unit="percentunit", title="5xx", width=80),
            tables.column("mean_seconds", unit="s", title="Mean duration", width=120),
            tables.column("last_asked", unit="dateTimeFromNow", title="Last asked", width=130),
        ],
        nothing="No request was stored",
    )


def _who() -> Section:
    top = tables.table(
        "Top users",
        "Who did most in the chosen range; sessions are those with activities. A name opens its timeline below.",
        [targets.sql(users.TOP, source=targets.RESTRICTED)],
        [
            tables.link("user_id", "Timeline of this user", ONE_USER),
            tables.column("failed", title="5xx met"),
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=130),
        ],
        nothing="Nobody was active",
    )
    browsers = panels.doughnut(
        "Browsers",
        "Requests in the chosen range, by family of the client's software.",
        "short",
        targets.sql(users.BROWSERS, source=targets.RESTRICTED),
    ).reduce_options(panels.last(every_row=True))
    agents = tables.table(
        "User agents",
        "What the clients called themselves in the chosen range.",
        [targets.sql(users.AGENTS, source=targets.RESTRICTED)],
        [
            tables.trace("user_agent"),
            tables.column("requests", title="Requests", width=100),
            tables.column("users", title="Users", width=80),
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=130),
        ],
        nothing="No request told its software",
    )
    lines = [Line(10, [(top, 24)]), Line(8, [(browsers, 8), (agents, 16)])]
    return Section("Who they are, for those who may see users", lines, collapsed=True)


def _one() -> Section:
    whom = "The user whose id is typed in above; while none is, the one who did most."
    about = tables.table(
        "One user",
        f"What one user did in the chosen range. {whom}",
        [targets.sql(users.ABOUT, source=targets.RESTRICTED)],
        [
            tables.column("first_seen", unit="dateTimeAsIso", title="First seen", width=170),
            tables.column("last_seen", unit="dateTimeAsIso", title="Last seen", width=170),
            tables.bounds("errors", (None, "text"), (1, colors.RED)),
        ],
        nothing="Nobody of this id in the chosen range",
    )
    course = panels.bars(
        "Course",
        f"Requests, activities and errors of one user. {whom}",
        "short",
        [targets.sql(users.COURSE, shape="time_series", source=targets.RESTRICTED)],
        named=KINDS,
    )
    timeline = tables.table(
        "Timeline",
        f"The last 300 things of one user in the chosen range, newest first. {whom}",
        [targets.sql(users.TIMELINE, source=targets.RESTRICTED)],
        [
            tables.column("at", unit="dateTimeAsIso", title="When", width=170),
            tables.words("kind", KINDS),
            tables.words("outcome", OUTCOMES),
            tables.column("duration_seconds", unit="s", title="Duration", width=100),
        ],
        nothing="Nobody of this id in the chosen range",
    )
    lines = [Line(4, [(about, 24)]), Line(6, [(course, 24)]), Line(14, [(timeline, 24)])]
    return Section("One user, for those who may see users", lines, collapsed=True)


BOARD = Board(
    "users",
    "Platform users",
    "How many users are active, and what do they do?",
    [_first_line(), _active(), _logins(), _what(), _who(), _one()],
    VARIABLES,
    buttons=[("http", "HTTP"), ("errors", "Errors")],
)
