"""The dashboard of error issues: which there are, which need attention, and changes to many at once.

A row's buttons change that issue. To change many, pick rows one after the other (each click adds the issue to the
variable `issue`), or use all that the filters leave. The database makes both lists of ids, so that exactly what is
shown is changed.
"""

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import dashboard as models

from grafana import actions
from grafana.design import colors, columns, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import errors, health

KEPT = ("app", "severity", "status", "assignee", "endpoint", "search")
PICK = links.keeping("errors", *KEPT, "issue") + "&var-issue=${__data.fields.id}"
PICK_NONE = links.keeping("errors", *KEPT) + "&var-issue=-"
IN_A_ROW = ("Resolve", "Ignore", "Reopen", "Assign")
OF_MANY = (*IN_A_ROW, "Resolve in latest", "Ignore for a day", "Comment", "Merge")
FILTERED = "Of the choices at the top."


def _variables() -> tuple[variables.Variable, ...]:
    status = variables.words("status", "Status", errors.STATUSES)
    status.build().current = models.VariableOption(selected=True, text=["open"], value=["open"])
    picked = variables.column("issue", "Picked issues", errors.PICKABLE, everything=False)
    # 'none' stays first: Grafana chooses the first of the list by itself, and must not pick an issue.
    picked.build().sort = models.VariableSort.DISABLED
    return (
        variables.column("app", "App", errors.APPS),
        variables.words("severity", "Severity", list(colors.SEVERITIES)),
        status,
        variables.column("assignee", "Assigned to", errors.ASSIGNEES),
        variables.text("endpoint", "Endpoint contains"),
        variables.text("search", "Text contains"),
        picked,
    )


def _first_line() -> Line:
    open_now = panels.severity_tile(
        "Open issues by severity",
        "How many issues of the chosen apps are open, regardless of when they last occurred.",
        {severity: errors.open_issues(severity) for severity in colors.SEVERITIES},
    )
    burst = panels.health_tile(
        "Bursts",
        "Whether more errors occur than usual; the worst app counts. Unknown below the minimum of events.",
        health.indicator("error_burst_factor"),
    )
    regressed = "How often resolved issues of the chosen apps occurred again in the chosen range."
    tiles = [
        _number("New", "Issues first seen in the chosen range.", errors.NEW_IN_RANGE, colors.ORANGE),
        _number("Regressions", regressed, errors.REGRESSIONS_IN_RANGE, colors.ORANGE),
        _number("Users", "Distinct users who met an error in the range.", errors.AFFECTED_USERS),
    ]
    return Line(4, [open_now, burst, *tiles], (7, 4, 4, 5, 4))


def _number(title: str, description: str, sql: str, color: str = colors.BLUE) -> stat.Panel:
    return panels.number_tile(title, description, sql, bounds=((None, colors.BLUE), (1, color)))


def _charts() -> Line:
    recorded = panels.bars(
        "Errors recorded",
        "Per minute.",
        {"{{severity}}": errors.RATE_BY_SEVERITY},
        columns.PER_MINUTE,
        named=colors.SEVERITIES,
    )
    bursts = panels.judged(
        "Compared with usual",
        "Errors of 5 minutes as a multiple of the mean of 5 minutes over the day before, which alerts judge.",
        {"{{app}}": errors.BURST},
        "error_burst_factor",
        "short",
    )
    new = panels.lines(
        "New issues and regressions",
        "New kinds of error by severity, and resolved ones that occurred again, within 5 minutes each.",
        {"new, {{severity}}": errors.NEW, "regression": errors.REGRESSIONS},
        named={**colors.SEVERITIES, "regression": "purple"},
    ).decimals(0)
    return Line(8, [recorded, bursts, new])


def _issues() -> Line:
    issues = tables.table(
        "Issues",
        f"Groups of similar errors that the choices at the top leave; the {errors.MOST} that occurred last. Events, "
        "users and trend are of the chosen range. A click on the severity picks an issue for 'Change many at once'.",
        errors.ISSUES,
        [
            *(tables.severity_and_state(), tables.link("severity", "Add to the picked issues", PICK)),
            *(tables.wrapped("issue"), ("issue", {"custom.minWidth": 245}), tables.to_issue("issue")),
            *(tables.wrapped("last_seen", 100), tables.column("course", width=108)),
            *(tables.column("events", width=64), tables.column("users", width=58)),
            *(tables.wrapped("assignee"), tables.column("assignee", "Assignee", 85)),
            tables.actions("change", [one for one in actions.of_row() if one["title"] in IN_A_ROW]),
            *(tables.column("change", width=262), *map(tables.hidden, ("app", "fingerprint", "id"))),
        ],
    )
    return Line(16, [issues])


def _many() -> Line:
    many = tables.table(
        "Change many at once",
        "Editors change the picked issues, or all listed above: all of them or none. The history shows who did it.",
        errors.MANY,
        [
            *(tables.wrapped("which", 160), "number"),
            tables.actions("change", [one for one in actions.of_listed() if one["title"] in OF_MANY]),
            *(
                tables.column("change", width=690),
                tables.column("pick", "Picked", 90),
                tables.link("pick", "Clear the picked issues", PICK_NONE),
            ),
            tables.hidden("ids"),
        ],
    )
    return Line(5, [many])


def _breakdown() -> Section:
    by_app = panels.lines(
        "Errors by app",
        "Errors recorded per minute.",
        {"{{app}}": errors.RATE_BY_APP},
        columns.PER_MINUTE,
        stacked=True,
    )
    types = panels.ranking(
        "Most frequent types", "Errors recorded in the range.", {"{{error_type}}": errors.BUSIEST_TYPES}
    ).decimals(0)
    releases = panels.bars("Errors by release", f"Errors recorded. {FILTERED}", errors.RELEASES)
    here = links.keeping("errors", "app", "severity", "status", "assignee", "search") + (
        "&var-endpoint=${__data.fields.endpoint:percentencode}"
    )
    endpoints = tables.table(
        "Endpoints with most errors",
        f"Errors, users and issues in the chosen range. {FILTERED} A click on an endpoint filters the issues above.",
        errors.ENDPOINTS,
        ["app", tables.link("endpoint", "Only this endpoint's issues", here), "events", "users", "issues", "last_seen"],
    )
    return Section(
        "Apps, types, releases and endpoints", [Line(8, [by_app, types]), Line(8, [releases]), Line(9, [endpoints])]
    )


def _history() -> Section:
    changes = tables.table(
        "Changes and comments",
        "Who changed or commented on which issue in the chosen range, and which reopened as regressions.",
        errors.CHANGES,
        [
            *("at", tables.wrapped("actor", 120), tables.wrapped("issue"), tables.to_issue("issue")),
            *(tables.wrapped("change"), tables.hidden("app"), tables.hidden("fingerprint")),
        ],
    )
    return Section("History of changes", [Line(9, [changes])], collapsed=True)


BOARD = Board(
    "errors",
    "Which errors are open, how often do they occur, and whom do they affect?",
    [_first_line(), _charts(), _issues(), _many(), _breakdown(), _history()],
    _variables(),
)
