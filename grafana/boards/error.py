"""The dashboard of one error issue in all detail.

The stack trace and the affected users are asked of the restricted data source.
"""

from grafana import actions
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import error, errors

VARIABLES = (
    variables.column("app", "App", errors.APPS),
    variables.one_of("fingerprint", "Issue", error.FINGERPRINTS),
)
KINDS = {"request": colors.BLUE, "activity": colors.GREEN, "error": colors.RED}
TO_USER = tables.link(
    "user_id",
    "Everything that this user did",
    links.keeping("users", "app") + "&var-user=${__data.fields.user_id:percentencode}",
)
DID_NOT_OCCUR = "It did not occur in the chosen range"


def _issue() -> Line:
    issue = tables.table(
        "Issue",
        "The chosen issue: what failed, where, since when, and how often in total.",
        error.ISSUE,
        [
            "severity",
            tables.words("state", colors.ISSUES, 95),
            tables.column("state", "Status"),
            tables.column("error_type", "Type", 170),
            *(tables.trace("message"), "app", "endpoint", "first_seen", "last_seen"),
            tables.column("events", "Events", 75),
            tables.column("regressions", "Regressions", 105),
            tables.warned("regressions", colors.ORANGE),
            tables.column("first_release", "First release", 110),
            tables.column("last_release", "Last release", 110),
        ],
        empty="Choose an issue",
    )
    return Line(5, [issue])


def _change() -> Line:
    change = tables.table(
        "Change",
        "Who changed the status last, and what Editors may do now. A resolved issue that occurs again is a regression.",
        error.STATE,
        [
            tables.column("app", "App", 90),
            tables.words("state", colors.ISSUES, 95),
            tables.column("state", "Status"),
            tables.column("changed_by", "By", 120),
            tables.column("changed_at", "Changed", 125, tables.AGO),
            tables.column("resolved_release", "Resolved in", 105),
            tables.column("ignored_until", "Ignored until", 125, tables.AGO),
            tables.column("ignored_for", "Ignored for events", 140),
            tables.actions("change", actions.of_row()),
            tables.hidden("id"),
        ],
        empty="Choose an issue",
    )
    return Line(4, [change])


def _figures() -> Line:
    tiles = [
        panels.number_tile(title, text, query, unit)
        for title, text, unit, query in (
            ("Events", "Occurrences in the chosen range.", "short", error.EVENTS),
            ("Affected users", "Distinct users who met it in the chosen range.", "short", error.USERS),
            ("Regressions", "How often it occurred again after it was resolved.", "short", error.REGRESSIONS),
            ("First seen", "When it occurred for the first time.", tables.AGO, error.FIRST),
            ("Last seen", "When it occurred last.", tables.AGO, error.LAST),
        )
    ]
    return Line(4, tiles, (5, 5, 4, 5, 5))


def _occurrences_over_time() -> Line:
    text = "How often it occurred, by release of the app."
    return Line(8, [panels.bars("Occurrences over time", text, error.COURSE)])


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
        empty="No occurrence is stored any more",
    )
    return Line(16, [trace, last], (15, 9))


def _occurrences() -> Section:
    occurrences = tables.table(
        "Occurrences",
        "The last 200 in the chosen range. Users are shown as the beginning of a hash, which identifies no one.",
        error.OCCURRENCES,
        ["at", "app", "release", "severity", "endpoint", tables.trace("message"), "job_id", "user"],
        empty=DID_NOT_OCCUR,
    )
    releases = tables.table(
        "Releases",
        "The releases in which it occurred in the chosen range, and when each release was first seen.",
        error.RELEASES,
        [
            *("app", "release", tables.column("release_first_seen", unit=tables.AGO), "events", "users"),
            *(tables.column(name, unit=tables.AGO) for name in ("first_occurrence", "last_occurrence")),
        ],
        empty=DID_NOT_OCCUR,
    )
    return Section("Occurrences and releases", [Line(10, [occurrences, releases], (14, 10))])


def _history() -> Section:
    history = tables.table(
        "History",
        "Who resolved, reopened or ignored it, and when it reopened as a regression, regardless of the range.",
        error.HISTORY,
        [
            *("at", "actor", "action", tables.words("was", colors.ISSUES), tables.words("became", colors.ISSUES)),
            *("release", "until", "events", "note", "via"),
        ],
        empty="No changes yet",
    )
    alerts = tables.table(
        "Related alerts",
        "Alerts of the same app that were reported in the chosen range, and how often the issue occurred while each "
        "fired or in the 5 minutes before. A name opens its history.",
        error.ALERTS,
        [
            tables.link("alertname", "The alert's history", links.to("alerts", alertname="${__data.fields.alertname}")),
            *("severity", "summary", "starts_at", "ends_at", "events"),
        ],
        empty="No alert of this app was reported",
    )
    similar = tables.table(
        "Similar issues",
        "Other issues of the same app with the same endpoint, or with the same type and message.",
        error.SIMILAR,
        [
            *("severity", tables.words("status", colors.ISSUES), tables.to_issue("error_type"), "message", "app"),
            *("endpoint", "last_seen", "events", tables.hidden("fingerprint")),
        ],
        empty="No similar issues",
    )
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
        empty="No known user met it",
    )
    affected = tables.table(
        "Affected users in detail",
        "The users who met it most often in the chosen range. An id opens everything that the user did.",
        targets.restricted(error.AFFECTED),
        [
            *(TO_USER, "events", "addresses", "user_agent"),
            tables.column("first_met", "First", 125, tables.AGO),
            tables.column("last_met", "Last", 125, tables.AGO),
        ],
        empty=DID_NOT_OCCUR,
    )
    return Section("Users (restricted)", [Line(12, [around]), Line(9, [affected])], collapsed=True)


BOARD = Board(
    "error",
    "Platform error",
    "What happened, where, how often and to whom?",
    [
        *(_issue(), _change(), _figures(), _occurrences_over_time(), _stack_trace()),
        *(_occurrences(), _history(), _users()),
    ],
    VARIABLES,
    buttons=[("errors", "Errors"), ("alerts", "Alerts"), ("users", "Users")],
)
