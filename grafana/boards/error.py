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
)
KINDS = {"request": colors.BLUE, "activity": colors.GREEN, "error": colors.RED}
TO_USER = tables.link(
    "user_id", "What this user did", links.keeping("users", "app") + "&var-user=${__data.fields.user_id:percentencode}"
)
DID_NOT_OCCUR = "It did not occur in the chosen range"


def _issue() -> Line:
    issue = tables.table(
        "Issue",
        "The chosen issue: what failed, where, since when, and how often in total.",
        error.ISSUE,
        [
            *("severity", tables.issue_state("state"), tables.column("error_type", width=170)),
            *(tables.trace("message"), "app", "endpoint", "first_seen", "last_seen", "events"),
            *(tables.warned("regressions", colors.ORANGE), "first_release", "last_release"),
        ],
    ).no_value("Choose an issue")
    return Line(5, [issue])


def _change() -> Line:
    change = tables.table(
        "Change",
        "Who changed the status last, and what Editors may do now. A resolved issue that occurs again is a regression.",
        error.STATE,
        [
            *(tables.column("app", width=90), tables.issue_state("state"), "changed_by", "changed_at"),
            *("resolved_release", "ignored_until", tables.column("ignored_for", width=140)),
            *(tables.actions("change", actions.of_row()), tables.hidden("id")),
        ],
    ).no_value("Choose an issue")
    return Line(4, [change])


def _figures() -> list[Line]:
    tiles = [
        panels.number_tile(title, text, query, unit)
        for title, text, unit, query in (
            ("Events", "Occurrences in the chosen range.", "short", error.EVENTS),
            ("Affected users", "Distinct users who met it in the chosen range.", "short", error.USERS),
            ("Regressions", "How often it occurred again after it was resolved.", "short", error.REGRESSIONS),
            ("First seen", "When it occurred for the first time.", columns.AGO, error.FIRST),
            ("Last seen", "When it occurred last.", columns.AGO, error.LAST),
        )
    ]
    course = panels.bars("Occurrences over time", "How often it occurred, by release of the app.", error.COURSE)
    return [Line(4, tiles, (5, 5, 4, 5, 5)), Line(8, [course])]


def _stack_trace() -> Line:
    trace = tables.stack_trace(
        "Stack trace",
        "Of the newest occurrence up to the end of the range that has one. A click on it opens all of it.",
        targets.restricted(error.STACK_TRACE),
        "stack_trace",
    )
    last = tables.table(
        "Last occurrence",
        "What is known of the newest occurrence up to the end of the range.",
        targets.restricted(error.LAST_OCCURRENCE),
        [tables.column("name", "Name", 140), tables.trace("value")],
    ).no_value("No occurrence is stored any more")
    return Line(16, [trace, last], (15, 9))


def _occurrences() -> Section:
    occurrences = tables.table(
        "Occurrences",
        "The last 200 in the chosen range. Users are shown as the beginning of a hash, which identifies no one.",
        error.OCCURRENCES,
        ["at", "app", "release", "severity", "endpoint", tables.trace("message"), "job_id", "user"],
    ).no_value(DID_NOT_OCCUR)
    releases = tables.table(
        "Releases",
        "The releases in which it occurred in the chosen range, and when each release was first seen.",
        error.RELEASES,
        ["app", "release", "release_first_seen", "events", "users", "first_occurrence", "last_occurrence"],
    ).no_value(DID_NOT_OCCUR)
    return Section("Occurrences and releases", [Line(10, [occurrences, releases], (14, 10))])


def _history() -> Section:
    history = tables.table(
        "History",
        "Who resolved, reopened or ignored it, and when it reopened as a regression, regardless of the range.",
        error.HISTORY,
        [
            *("at", "actor", "action", tables.issue_state("was"), tables.issue_state("became"), "release", "until"),
            *("events", "note", "via"),
        ],
    ).no_value("No changes yet")
    alerts = tables.table(
        "Related alerts",
        "Alerts of the same app in the range, and how often the issue occurred while each fired or 5 minutes before.",
        error.ALERTS,
        [
            tables.link("alertname", "The alert's history", links.to("alerts", alertname="${__data.fields.alertname}")),
            *("severity", "summary", "starts_at", "ends_at", "events"),
        ],
    ).no_value("No alert of this app was reported")
    similar = tables.table(
        "Similar issues",
        "Other issues of the same app with the same endpoint, or with the same type and message.",
        error.SIMILAR,
        [
            *("severity", tables.issue_state("status"), tables.to_issue("error_type"), "message", "app"),
            *("endpoint", "last_seen", "events", tables.hidden("fingerprint")),
        ],
    ).no_value("No similar issues")
    return Section("History and related", [Line(9, [history, alerts]), Line(8, [similar])])


def _users() -> Section:
    around = tables.table(
        "Requests of the same user",
        "What the last user who met the issue did from 30 minutes before to 10 minutes after.",
        targets.restricted(error.AROUND),
        [
            "at",
            tables.column("seconds", "After the error", 140, "dtdurations"),
            *(TO_USER, "app", tables.words("kind", KINDS), "what", "outcome", "duration_seconds", "release"),
        ],
    ).no_value("No known user met it")
    affected = tables.table(
        "Affected users in detail",
        "The users who met it most often in the chosen range. An id opens everything that the user did.",
        targets.restricted(error.AFFECTED),
        [TO_USER, "events", "addresses", "user_agent", "first_met", "last_met"],
    ).no_value(DID_NOT_OCCUR)
    return Section("Users (restricted)", [Line(12, [around]), Line(9, [affected])], collapsed=True)


BOARD = Board(
    "error",
    "Platform error",
    "What happened, where, how often and to whom?",
    [_issue(), _change(), *_figures(), _stack_trace(), _occurrences(), _history(), _users()],
    VARIABLES,
    buttons=["errors", "alerts", "users"],
)
