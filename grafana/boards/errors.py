"""Draw error issues: which there are, which need somebody, and how many at once are dealt with.

A row's buttons change that issue. For many, rows are picked one after the other, each click adding the issue to the
variable `issue`, or all that the filters leave are meant; both lists of ids are made by the database, so that exactly
what is shown is changed.
"""

from grafana_foundation_sdk.models import dashboard as models

from grafana import actions
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import errors, health, shared

KEPT = ("app", "severity", "status", "endpoint", "search")
OPEN = links.to(
    "error", app="${__data.fields.app:percentencode}", fingerprint="${__data.fields.fingerprint:percentencode}"
)
PICK = links.keeping("errors", *KEPT, "issue") + "&var-issue=${__data.fields.id}"
PICK_NONE = links.keeping("errors", *KEPT) + "&var-issue=-"
IN_A_ROW = ("Resolve", "Reopen", "Ignore")
EVERYTHING = "What the choices at the top leave."


def _variables() -> tuple[variables.Variable, ...]:
    status = variables.words("status", "Status", errors.STATUSES)
    status.build().current = models.VariableOption(selected=True, text=["open"], value=["open"])
    picked = variables.some_of("issue", "Issues picked", errors.PICKABLE)
    # 'none' stays first: Grafana chooses the first of the list by itself, and must not pick an issue.
    picked.build().sort = models.VariableSort.DISABLED
    return (
        variables.column("app", "App", errors.APPS),
        variables.words("severity", "Severity", list(colors.SEVERITIES)),
        status,
        variables.text("endpoint", "Endpoint contains"),
        variables.text("search", "Text contains"),
        picked,
    )


def _first_line() -> Line:
    open_now = panels.severity_tile(
        "Open issues by severity",
        "How many issues of the chosen apps are open, whenever they occurred last.",
        [targets.now(errors.open_issues(severity), severity) for severity in colors.SEVERITIES],
    )
    burst = panels.health_tile(
        "Bursts",
        "Whether more errors occur than usual, by thresholds; the worst app counts. Unknown where too little is done.",
        targets.now(health.indicator("error_burst_factor"), "Bursts"),
    )
    return Line(
        4,
        [
            (open_now, 9),
            (burst, 3),
            (_number("New", "Issues first seen in the chosen range.", errors.NEW_IN_RANGE, colors.ORANGE), 3),
            (
                _number(
                    "Regressions",
                    "Times that a resolved issue of the chosen apps occurred again, in the chosen range.",
                    errors.REGRESSIONS_IN_RANGE,
                    colors.ORANGE,
                ),
                3,
            ),
            (_number("Errors", "Errors recorded in the chosen range.", errors.EVENTS_IN_RANGE, colors.BLUE), 3),
            (
                _number("Users touched", "Distinct users who met one in the range.", errors.USERS_TOUCHED, colors.BLUE),
                3,
            ),
        ],
    )


def _number(title: str, description: str, sql: str, color: str) -> panels.stat.Panel:
    return panels.number_tile(title, description, "short", targets.sql(sql), (None, colors.BLUE), (1, color))


def _charts() -> Line:
    recorded = panels.bars(
        "Errors recorded",
        "Errors per minute, by severity.",
        "cpm",
        [targets.series(errors.RATE_BY_SEVERITY, "{{severity}}")],
        named=colors.SEVERITIES,
    )
    bursts = panels.lines(
        "Against the usual",
        "Errors of 5 minutes as a multiple of the mean of such spans over the day before, which alerts judge. "
        "No line below the minimum of events.",
        "short",
        [
            targets.series(errors.BURST, "{{app}}"),
            targets.threshold_lines(shared.threshold("error_burst_factor")),
        ],
    )
    new = panels.lines(
        "New and back again",
        "New kinds of error by severity, and resolved ones that occurred again, within 5 minutes each.",
        "short",
        [
            targets.series(errors.NEW, "new, {{severity}}"),
            targets.series(errors.REGRESSIONS, "regression"),
        ],
        named={**colors.SEVERITIES, "regression": "purple"},
    ).decimals(0)
    return Line(8, [(recorded, 8), (bursts, 8), (new, 8)])


def _issues() -> tables.tables.Panel:
    return tables.table(
        "Issues",
        f"Groups of alike errors that the choices at the top leave, the {errors.MOST} that occurred last. Events, "
        "users and course are those of the chosen range. Type or message open the issue; Editors change it by buttons.",
        [targets.sql(errors.ISSUES)],
        [
            tables.column("severity", title="Severity", width=85),
            tables.words("severity", colors.SEVERITIES),
            tables.column("state", title="Status", width=95),
            tables.words("state", colors.ISSUES),
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=120),
            tables.column("error_type", title="Type", width=150),
            tables.link("error_type", "Open the issue", OPEN),
            tables.column("message", title="Message"),
            tables.link("message", "Open the issue", OPEN),
            tables.column("app", title="App", width=90),
            tables.column("endpoint", title="Endpoint", width=130),
            tables.column("course", title="Course", width=160),
            tables.column("events", title="Events", width=75),
            tables.column("users", title="Users", width=65),
            tables.column("events_ever", title="Ever", width=65),
            tables.column("regressions", title="Regressions", width=100),
            tables.bounds("regressions", (None, "text"), (1, colors.ORANGE)),
            tables.column("first_seen", unit="dateTimeFromNow", title="First seen", width=120),
            tables.column("releases", title="Releases", width=120),
            tables.column("pick", title="Many", width=65),
            tables.link("pick", "Add to the issues picked", PICK),
            tables.column("change", title="Change", width=240),
            tables.actions("change", [one for one in actions.of_row() if one["title"] in IN_A_ROW]),
            tables.hidden("fingerprint"),
            tables.hidden("id"),
        ],
        nothing="No issue is like that",
    )


def _many() -> tables.tables.Panel:
    return tables.table(
        "Change many at once",
        "Editors resolve, reopen or ignore the issues picked, or all that are listed above. Either all are changed or "
        "none; who did it stands in the history of each.",
        [targets.sql(errors.MANY)],
        [
            tables.column("which", title="Issues", width=200),
            tables.column("number", title="Number", width=80),
            tables.column("change", title="Change"),
            tables.actions("change", actions.of_listed("ids", "number")),
            tables.column("pick", title="Picking", width=90),
            tables.link("pick", "Forget which issues were picked", PICK_NONE),
            tables.hidden("ids"),
        ],
        nothing="No issue is listed",
    )


def _where() -> Section:
    by_app = panels.lines(
        "Errors by app",
        "Errors recorded per minute.",
        "cpm",
        [targets.series(errors.RATE_BY_APP, "{{app}}")],
        stacked=True,
    )
    types = panels.ranking(
        "Types that occur most",
        "Errors recorded in the chosen range, by type; the first ten.",
        "short",
        targets.now(errors.BUSIEST_TYPES, "{{error_type}}"),
    ).decimals(0)
    releases = panels.bars(
        "Errors by release",
        f"Errors recorded. {EVERYTHING}",
        "short",
        [targets.sql(errors.RELEASES, shape="time_series")],
    )
    here = links.keeping("errors", "app", "severity", "status", "search") + (
        "&var-endpoint=${__data.fields.endpoint:percentencode}"
    )
    endpoints = tables.table(
        "Endpoints that fail most",
        f"Errors, users and issues in the chosen range. {EVERYTHING} An endpoint leaves its issues above.",
        [targets.sql(errors.ENDPOINTS)],
        [
            tables.link("endpoint", "Only this endpoint's issues", here),
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=130),
        ],
        nothing="No error occurred",
    )
    return Section("Where", [Line(8, [(by_app, 8), (types, 8), (releases, 8)]), Line(9, [(endpoints, 24)])])


def _history() -> Section:
    changes = tables.table(
        "Changes of status",
        "Who resolved, reopened or ignored which issue in the chosen range, and what opened again by itself.",
        [targets.sql(errors.CHANGES)],
        [
            tables.column("at", unit="dateTimeAsIso", title="When", width=170),
            tables.words("was", colors.ISSUES),
            tables.words("became", colors.ISSUES),
            tables.link("error_type", "Open the issue", OPEN),
            tables.hidden("fingerprint"),
        ],
        nothing="Nothing was changed",
    )
    return Section("Who changed what", [Line(9, [(changes, 24)])], collapsed=True)


BOARD = Board(
    "errors",
    "Platform errors",
    "Which errors are open, how often do they occur, and whom do they hurt?",
    [_first_line(), _charts(), Line(16, [(_issues(), 24)]), Line(5, [(_many(), 24)]), _where(), _history()],
    _variables(),
    buttons=[("alerts", "Alerts"), ("http", "HTTP")],
)
