"""How a drill is judged: from what fired and what came, without a server."""

from dataclasses import replace

import pytest

from tools.drills.evaluation import Evidence, Expected, Subject, evaluate, pages
from tools.drills.messages import AlertInMessage, ChannelMessage
from tools.drills.recorder import Firing
from tools.drills.report import lines, table

LABELS = {"alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": "main"}
EXPECTED = Expected("PlatformComponentDown", "critical", pages=1, notified_within_seconds=30)
LOOKED_AT = 200.0


def message(channel: str, at: float, firing: bool = True, **more: str) -> ChannelMessage:
    """Return a message about Redis."""
    alerts = (AlertInMessage("f1", firing, LABELS),) if channel == "hook" else ()
    incident = more.get("incident", "i1") if channel == "pager" else ""
    severity = more.get("severity", "critical" if firing else "")
    return ChannelMessage(channel, at, firing, severity, "redis main", incident, alerts)


def evidence(*, notified_at: float = 121, over_at: float = 180) -> Evidence:
    """Return what a drill leaves behind that went well: began at 100, fired at 115, ended at 140, resolved at 160."""
    channels = ("pager", "chat", "mail", "hook")
    messages = [message(channel, notified_at) for channel in channels]
    messages += [message(channel, over_at, firing=False) for channel in channels]
    return Evidence(100, [Firing(LABELS, 115, 160)], messages, LOOKED_AT, ended_at=140)


def test_a_drill_that_went_well() -> None:
    """Times count from the incident's beginning and, of what is over, from its end."""
    outcome = evaluate("redis", EXPECTED, evidence())

    assert outcome.well
    assert outcome.detected_seconds == 15
    assert outcome.notified_seconds == {"pager": 21, "chat": 21, "mail": 21, "hook": 21}
    assert (outcome.pages, outcome.resolved_seconds) == (1, 20)
    assert set(outcome.end_notified_seconds.values()) == {40}


@pytest.mark.parametrize("channel", ["pager", "chat", "mail", "hook"])
def test_every_channel_must_be_notified(channel: str) -> None:
    """A channel that got no message is a problem of its own."""
    seen = evidence()
    seen.messages = [one for one in seen.messages if one.channel != channel]

    problems = evaluate("redis", EXPECTED, seen).problems

    assert f"{channel} was not notified of PlatformComponentDown (critical)" in problems


@pytest.mark.parametrize("channel", ["pager", "chat", "mail", "hook"])
def test_every_channel_must_be_notified_of_the_end(channel: str) -> None:
    """A channel that was notified of the beginning and never of the end is a problem."""
    seen = evidence()
    seen.messages = [one for one in seen.messages if one.channel != channel or one.firing]

    assert [
        problem for problem in evaluate("redis", EXPECTED, seen).problems if "was not notified of the end" in problem
    ]


def test_late() -> None:
    """A notification after the promised time is a problem."""
    assert evaluate("redis", EXPECTED, evidence(notified_at=131)).problems == ["notified after 31.0 s, expected 30 s"]


def test_did_not_resolve() -> None:
    """An alert that still fires at the last look has not resolved."""
    seen = evidence()
    seen.firings = [Firing(LABELS, 115, LOOKED_AT)]

    assert evaluate("redis", EXPECTED, seen).problems == ["ComponentDown(redis, main, critical) did not resolve"]


def test_what_is_about_to_fire_is_not_over() -> None:
    """A warning comes after a critical alert, while the window forgets the incident: a drill waits for it, too."""
    seen = evidence()

    assert seen.over
    assert not replace(seen, pending=[{"alertname": "X", "severity": "medium"}]).over
    assert replace(seen, pending=[{"alertname": "X", "severity": "low"}]).over


def test_low_is_not_waited_for() -> None:
    """The digest is daily: an alert for it may last."""
    seen = evidence()
    seen.firings = [*seen.firings, Firing({"alertname": "X", "severity": "low"}, 115, LOOKED_AT)]

    assert evaluate("redis", EXPECTED, seen).well


def test_shape_is_a_problem() -> None:
    """A message that its service would refuse did not arrive."""
    seen = evidence()
    seen.messages = [replace(seen.messages[0], problems=("$.links: wrong",)), *seen.messages[1:]]

    assert evaluate("redis", EXPECTED, seen).problems == ["pager: $.links: wrong"]


def test_an_incident_that_is_open_is_one_page() -> None:
    """A trigger with a key that is open adds to that incident; after its end, or with another key, it is a new one."""
    first = message("pager", 1)
    again, over, later = message("pager", 2), message("pager", 3, firing=False), message("pager", 4)
    other = message("pager", 5, incident="i2")

    assert pages([first, again]) == 1
    assert pages([first, again, over]) == 1
    assert pages([first, over, later]) == 2
    assert pages([first, other]) == 2


def test_a_second_page_is_a_problem() -> None:
    """Being woken twice for one outage is once too often."""
    seen = evidence()
    seen.messages = [*seen.messages, message("pager", 190), message("pager", 195, firing=False)]

    assert evaluate("redis", EXPECTED, seen).problems == ["2 pages, expected 1"]


def test_muted_and_fired_are_counted() -> None:
    """An outage that should trip many alerts and mute all but one is held to both."""
    seen = evidence()
    seen.firings = [*seen.firings, Firing({"alertname": "A", "severity": "high"}, 120, 150, muted=True)]
    expected = replace(EXPECTED, alerts=3, muted=2)

    assert evaluate("redis", expected, seen).problems == [
        "2 alerts fired, expected 3",
        "1 alert muted, expected 2",
    ]


def test_whose_messages() -> None:
    """A message belongs to a drill by its alerts' labels or, where it has none, by its text."""
    subject = Subject(({"app": "drill-a"},), r"\bdrill-a\b")

    assert subject.has_labels({"app": "drill-a", "severity": "high"})
    assert not subject.has_labels({"app": "drill-ab"})
    assert subject.has_message(ChannelMessage("chat", 1, True, "high", "drill-a fails"))
    assert not subject.has_message(ChannelMessage("chat", 1, True, "high", "drill-ab fails"))
    assert not subject.has_message(
        ChannelMessage("hook", 1, True, "high", "drill-a", alerts=(AlertInMessage("f", True, {"app": "b"}),))
    )


def test_the_table_has_a_row_for_each() -> None:
    """A drill that failed stands out, in the table and in its lines."""
    well, failed = evaluate("redis", EXPECTED, evidence()), evaluate("late", EXPECTED, evidence(notified_at=131))
    head, _, first, second = table([well, failed]).splitlines()

    assert head.split("|")[1].strip() == "drill"
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "redis", "15.0 s", "21.0 s", "1", "1", "0", "20.0 s", "40.0 s", "ok",
    ]  # fmt: skip
    assert second.split("|")[-2].strip() == "FAILED"
    assert lines(failed)[-1] == "PROBLEM:  notified after 31.0 s, expected 30 s"
