"""The dashboard of one error issue in all detail.

The stack trace and the affected users are asked of the restricted data source.
"""

from grafana import actions
from grafana.design import colors, columns, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import error, errors

VARIABLES = (
    variables.column("app", "App", errors.APPS),
    variables.column("fingerprint", "Issue", error.FINGERPRINTS, several=False, everything=False),
    variables.traces(),
)
KINDS = {"request": colors.BLUE, "activity": colors.GREEN, "error": colors.RED}
TO_USER = tables.link(
    "user_id", "What this user did", links.keeping("users", "app") + "&var-user=${__data.fields.user_id:percentencode}"
)
# Where nothing occurred in the chosen range, this is the way to where it did.
AROUND_LAST = links.to(
    "error", app="${__data.fields.app:percentencode}", fingerprint="${__data.fields.fingerprint:percentencode}"
).replace("${__url_time_range}", "from=${__data.fields.around_from}&to=${__data.fields.around_to}")


def _issue() -> list[Line]:
    issue = tables.table(
        "Issue",
        "What failed, where, since when and how often, whatever the chosen range. Last seen shows the hour around it.",
        error.ISSUE,
        [
            *(tables.severity_and_state(), tables.wrapped("issue"), tables.column("first_seen", width=140)),
            *(tables.column("last_seen", width=140), tables.link("last_seen", "Show the hour around it", AROUND_LAST)),
            *("events", tables.warned("regressions", colors.ORANGE), tables.wrapped("releases", 115)),
            *(tables.wrapped("assignee", 110), *map(tables.hidden, ("around_from", "around_to", "app", "fingerprint"))),
        ],
    ).no_value("Choose an issue")
    change = tables.table(
        "Change",
        "Its state, and what Editors may do now. A resolved issue that occurs again is a regression.",
        error.STATE,
        [
            *(tables.wrapped("state", 150), tables.actions("change", actions.of_row())),
            *(tables.column("change", width=835), tables.hidden("id")),
        ],
    ).no_value("Choose an issue")
    return [Line(6, [issue]), Line(3, [change.show_header(False)])]


def _stack_trace() -> Line:
    trace = panels.stack_trace(
        "Stack trace",
        "Of the newest occurrence up to the end of the range, or of all. ERROR marks your own code.",
        targets.restricted(error.STACK_TRACE),
    )
    last = tables.table(
        "Last occurrence",
        "What is known of the newest occurrence up to the end of the range, or of all.",
        targets.restricted(error.LAST_OCCURRENCE),
        [tables.column("name", "Name", 110), tables.trace("value")],
    )
    return Line(16, [trace, last.no_value("No stored occurrence found")], (16, 8))


def _occurrences() -> list[Line]:
    course = panels.bars("Occurrences over time", "How often it occurred, by release of the app.", error.COURSE)
    tiles = [
        panels.number_tile(title, text, query)
        for title, text, query in (
            ("Events", "Occurrences in the chosen range.", error.EVENTS),
            ("Users", "Distinct users who met it in the chosen range.", error.USERS),
        )
    ]
    occurrences = tables.table(
        "Occurrences",
        "The last 200 in the chosen range. Users are shown as the beginning of a hash, which identifies no one.",
        error.OCCURRENCES,
        [
            *("at", tables.wrapped("release", 110), "severity", tables.wrapped("endpoint", 215)),
            *(tables.trace("message"), tables.column("job_id", width=120), tables.column("user", width=90)),
            *tables.to_trace("at"),
        ],
    )
    occurrences.no_value("No occurrence in the chosen range found")
    return [Line(8, [course, *tiles], (16, 4, 4)), Line(10, [occurrences])]


def _history() -> Section:
    history = tables.table(
        "History and comments",
        "Who resolved, reopened, ignored, assigned or commented on it, and when it reopened, whatever the range.",
        error.HISTORY,
        [tables.column("at", unit=columns.AGO, width=130), tables.wrapped("actor", 110), tables.wrapped("change")],
    )
    releases = tables.table(
        "Releases",
        "The releases in which it occurred in the chosen range, and when each release was first seen.",
        error.RELEASES,
        [
            *(tables.wrapped("release", 110), tables.column("release_first_seen", "Released", 120)),
            *(tables.column(name, width=65) for name in ("events", "users")),
            tables.column("last_occurrence", "Last seen", 120),
        ],
    )
    alerts = tables.table(
        "Related alerts",
        "Alerts of the same app in the range, and how often the issue occurred while each fired or 5 minutes before.",
        error.ALERTS,
        [
            *("severity", "alertname"),
            tables.link("alertname", "The alert's history", links.to("alerts", alertname="${__data.fields.alertname}")),
            *(tables.column("starts_at", unit=columns.AGO, width=125), "events"),
        ],
    )
    similar = tables.table(
        "Similar issues",
        "Other issues of the same app with the same endpoint, or with the same type and message.",
        error.SIMILAR,
        [
            *(tables.severity_and_state(), tables.wrapped("issue"), tables.to_issue("issue")),
            *(tables.wrapped("last_seen", 90), tables.column("events", width=65)),
            *map(tables.hidden, ("app", "fingerprint")),
        ],
    ).no_value("No similar issue found")
    return Section("History and related", [Line(9, [history, releases]), Line(9, [alerts, similar], (13, 11))])


def _users() -> Section:
    around = tables.table(
        "Requests of the same user",
        "What the last user who met the issue did from 30 minutes before to 10 minutes after.",
        targets.restricted(error.AROUND),
        [
            "at",
            tables.column("seconds", "After the error", 140, "dtdurations"),
            *(tables.wrapped("user_id", 110), TO_USER, tables.words("kind", KINDS, 80), tables.wrapped("what")),
            *("outcome", "duration_seconds"),
        ],
    ).no_value("No known user found")
    affected = tables.table(
        "Affected users in detail",
        "The users who met it most often in the chosen range. An id opens everything that the user did.",
        targets.restricted(error.AFFECTED),
        [TO_USER, "events", "addresses", tables.wrapped("user_agent"), "first_met", "last_met"],
    )
    return Section("Users (restricted)", [Line(12, [around]), Line(9, [affected])], collapsed=True)


BOARD = Board(
    "error",
    "What happened, where, how often and to whom?",
    [*_issue(), _stack_trace(), *_occurrences(), _history(), _users()],
    VARIABLES,
    may_be_empty={
        "Occurrences over time": "The newest issue may be older than the range; its last occurrence is above."
    },
)
