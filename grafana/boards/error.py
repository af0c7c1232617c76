"""Draw one error issue in all detail.

The stack trace, and who was affected, are asked of the restricted data source.
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
ANOTHER = links.to(
    "error", app="${__data.fields.app:percentencode}", fingerprint="${__data.fields.fingerprint:percentencode}"
)


def _issue() -> Line:
    issue = tables.table(
        "Issue",
        "The chosen issue: what went wrong, where, since when, and how often in all.",
        [targets.sql(error.ISSUE)],
        [
            tables.column("severity", title="Severity", width=85),
            tables.words("severity", colors.SEVERITIES),
            tables.column("state", title="Status", width=95),
            tables.words("state", colors.ISSUES),
            tables.column("error_type", title="Type", width=170),
            tables.trace("message"),
            tables.column("first_seen", unit="dateTimeFromNow", title="First seen", width=125),
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=125),
            tables.column("events", title="Events", width=75),
            tables.column("regressions", title="Regressions", width=105),
            tables.bounds("regressions", (None, "text"), (1, colors.ORANGE)),
            tables.column("first_release", title="First release", width=110),
            tables.column("last_release", title="Last release", width=110),
        ],
        nothing="Choose an issue",
    )
    return Line(5, [(issue, 24)])


def _change() -> Line:
    change = tables.table(
        "Change",
        "Who changed the status last, and what Editors may do now. A resolved issue that occurs again is a regression.",
        [targets.sql(error.STATE)],
        [
            tables.column("app", title="App", width=90),
            tables.column("state", title="Status", width=95),
            tables.words("state", colors.ISSUES),
            tables.column("changed_by", title="By", width=120),
            tables.column("changed_at", unit="dateTimeFromNow", title="Changed", width=125),
            tables.column("resolved_release", title="Resolved in", width=105),
            tables.column("ignored_until", unit="dateTimeFromNow", title="Ignored until", width=125),
            tables.column("ignored_for", title="Ignored for events", width=140),
            tables.column("change", title="Change"),
            tables.actions("change", actions.of_row()),
            tables.hidden("id"),
        ],
        nothing="Choose an issue",
    )
    return Line(4, [(change, 24)])


def _figures() -> Line:
    figures = [
        ("Events", "Occurrences in the chosen range.", "short", error.EVENTS),
        ("Users touched", "Distinct users who met it in the chosen range.", "short", error.USERS),
        ("Regressions", "How often it occurred again after it had been resolved, ever.", "short", error.REGRESSIONS),
        ("First seen", "When it occurred for the first time, ever.", "dateTimeFromNow", error.FIRST),
        ("Last seen", "When it occurred last.", "dateTimeFromNow", error.LAST),
    ]
    tiles = [panels.number_tile(title, text, unit, targets.sql(sql)) for title, text, unit, sql in figures]
    return Line(4, list(zip(tiles, (5, 5, 4, 5, 5), strict=True)))


def _course() -> Line:
    course = panels.bars(
        "Occurrences over time",
        "How often it occurred, by release of the app.",
        "short",
        [targets.sql(error.COURSE, shape="time_series")],
    )
    return Line(8, [(course, 24)])


def _where() -> Line:
    trace = tables.stack_trace(
        "Stack trace",
        "Where it happened: of the newest occurrence up to the end of the range that has one. A click on it opens all.",
        targets.sql(error.STACK_TRACE, source=targets.RESTRICTED),
        "stack_trace",
    )
    last = tables.table(
        "Last occurrence",
        "What is known of the newest occurrence up to the end of the range.",
        [targets.sql(error.LAST_OCCURRENCE, source=targets.RESTRICTED)],
        [tables.column("name", width=140), tables.trace("value")],
        nothing="No occurrence is kept any more",
    )
    return Line(16, [(trace, 15), (last, 9)])


def _occurrences() -> Section:
    occurrences = tables.table(
        "Occurrences",
        "The last 200 in the chosen range. Users are told apart by the beginning of a hash, which names none.",
        [targets.sql(error.OCCURRENCES)],
        [
            tables.column("at", unit="dateTimeAsIso", title="When", width=170),
            tables.words("severity", colors.SEVERITIES),
            tables.trace("message"),
        ],
        nothing="It did not occur in the chosen range",
    )
    releases = tables.table(
        "Releases",
        "In which releases it occurred in the chosen range, and when each was first seen at all.",
        [targets.sql(error.RELEASES)],
        [
            tables.column("release_first_seen", unit="dateTimeFromNow", title="Release first seen"),
            tables.column("first_occurrence", unit="dateTimeFromNow", title="First occurrence"),
            tables.column("last_occurrence", unit="dateTimeFromNow", title="Last occurrence"),
        ],
        nothing="It did not occur in the chosen range",
    )
    return Section("Occurrences and releases", [Line(10, [(occurrences, 14), (releases, 10)])])


def _history() -> Section:
    history = tables.table(
        "History",
        "Who resolved, reopened or ignored it, and when it opened again by itself; all of it, whatever the range.",
        [targets.sql(error.HISTORY)],
        [
            tables.column("at", unit="dateTimeAsIso", title="When", width=170),
            tables.words("was", colors.ISSUES),
            tables.words("became", colors.ISSUES),
        ],
        nothing="Nobody changed it yet",
    )
    alerts = tables.table(
        "Related alerts",
        "Alerts of the same app that were told of in the chosen range, and how often the issue occurred while each "
        "fired or in the 5 minutes before. A name opens its history.",
        [targets.sql(error.ALERTS)],
        [
            tables.link("alertname", "The alert's history", links.to("alerts", alertname="${__data.fields.alertname}")),
            tables.words("severity", colors.SEVERITIES),
            tables.column("starts_at", unit="dateTimeAsIso", title="Fired", width=170),
            tables.column("ends_at", unit="dateTimeAsIso", title="Ended", width=170),
        ],
        nothing="No alert of this app was told of",
    )
    similar = tables.table(
        "Similar issues",
        "Others of the same app with the same endpoint, or the same type and message.",
        [targets.sql(error.SIMILAR)],
        [
            tables.words("severity", colors.SEVERITIES),
            tables.words("status", colors.ISSUES),
            tables.link("error_type", "Open the issue", ANOTHER),
            tables.column("last_seen", unit="dateTimeFromNow", title="Last seen", width=125),
            tables.hidden("fingerprint"),
        ],
        nothing="No issue is like it",
    )
    return Section("History and what is near", [Line(9, [(history, 12), (alerts, 12)]), Line(8, [(similar, 24)])])


def _users() -> Section:
    around = tables.table(
        "The same user's requests",
        "What the last user who met the issue did from 30 minutes before to 10 minutes after.",
        [targets.sql(error.AROUND, source=targets.RESTRICTED)],
        [
            tables.column("at", unit="dateTimeAsIso", title="When", width=170),
            tables.column("seconds", unit="dtdurations", title="After the error", width=140),
            tables.link("user_id", "All that this user did", _user()),
            tables.words("kind", KINDS),
            tables.column("duration_seconds", unit="s", title="Duration", width=100),
        ],
        nothing="No user is known who met it",
    )
    whom = tables.table(
        "Whom it hurt",
        "The users who met it most often in the chosen range. A name opens all that the user did.",
        [targets.sql(error.WHOM, source=targets.RESTRICTED)],
        [
            tables.link("user_id", "All that this user did", _user()),
            tables.column("first_met", unit="dateTimeFromNow", title="First", width=125),
            tables.column("last_met", unit="dateTimeFromNow", title="Last", width=125),
        ],
        nothing="It did not occur in the chosen range",
    )
    lines = [Line(12, [(around, 24)]), Line(9, [(whom, 24)])]
    return Section("Users, for those who may see them", lines, collapsed=True)


def _user() -> str:
    return links.keeping("users", "app") + "&var-user=${__data.fields.user_id:percentencode}"


BOARD = Board(
    "error",
    "Platform error",
    "What happened, where, how often and to whom?",
    [_issue(), _change(), _figures(), _course(), _where(), _occurrences(), _history(), _users()],
    VARIABLES,
    buttons=[("errors", "Errors"), ("alerts", "Alerts"), ("users", "Users")],
)
