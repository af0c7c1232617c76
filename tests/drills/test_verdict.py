"""How a drill is judged: from what fired and what came, without a server."""

from dataclasses import replace

import pytest

from tools.drills.notices import Notice, Told
from tools.drills.recording import Firing
from tools.drills.report import lines, table
from tools.drills.verdict import Evidence, Subject, Wanted, judge, pages

LABELS = {"alertname": "PlatformComponentDown", "severity": "critical", "component": "redis", "name": "main"}
WANTED = Wanted("PlatformComponentDown", "critical", pages=1, told_within_seconds=30)
LOOKED_AT = 200.0


def notice(channel: str, at: float, firing: bool = True, **more: str) -> Notice:
    """Return a message about Redis."""
    alerts = (Told("f1", firing, LABELS),) if channel == "hook" else ()
    incident = more.get("incident", "i1") if channel == "pager" else ""
    severity = more.get("severity", "critical" if firing else "")
    return Notice(channel, at, firing, severity, "redis main", incident, alerts)


def evidence(*, told_at: float = 121, over_at: float = 180) -> Evidence:
    """Return what a drill leaves behind that went well: began at 100, fired at 115, ended at 140, resolved at 160."""
    channels = ("pager", "chat", "mail", "hook")
    notices = [notice(channel, told_at) for channel in channels]
    notices += [notice(channel, over_at, firing=False) for channel in channels]
    return Evidence(100, [Firing(LABELS, 115, 160)], notices, LOOKED_AT, ended_at=140)


def test_a_drill_that_went_well() -> None:
    """Times count from the incident's beginning and, of what is over, from its end."""
    outcome = judge("redis", WANTED, evidence())

    assert outcome.well
    assert outcome.detected_seconds == 15
    assert outcome.told_seconds == {"pager": 21, "chat": 21, "mail": 21, "hook": 21}
    assert (outcome.pages, outcome.resolved_seconds) == (1, 20)
    assert set(outcome.over_told_seconds.values()) == {40}


@pytest.mark.parametrize("channel", ["pager", "chat", "mail", "hook"])
def test_every_channel_must_be_told(channel: str) -> None:
    """A channel that heard nothing is a problem of its own."""
    seen = evidence()
    seen.notices = [one for one in seen.notices if one.channel != channel]

    problems = judge("redis", WANTED, seen).problems

    assert f"{channel} was not told of PlatformComponentDown (critical)" in problems


@pytest.mark.parametrize("channel", ["pager", "chat", "mail", "hook"])
def test_every_channel_must_be_told_that_it_is_over(channel: str) -> None:
    """What was told to fire and never to be over is a problem."""
    seen = evidence()
    seen.notices = [one for one in seen.notices if one.channel != channel or one.firing]

    assert [problem for problem in judge("redis", WANTED, seen).problems if "not told to be over" in problem]


def test_late() -> None:
    """What was told after the promised time did not go well."""
    assert judge("redis", WANTED, evidence(told_at=131)).problems == ["told after 31.0 s, wanted 30 s"]


def test_did_not_resolve() -> None:
    """An alert that still fires at the last look has not resolved."""
    seen = evidence()
    seen.firings = [Firing(LABELS, 115, LOOKED_AT)]

    assert judge("redis", WANTED, seen).problems == ["ComponentDown(redis, main, critical) did not resolve"]


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

    assert judge("redis", WANTED, seen).well


def test_shape_is_a_problem() -> None:
    """A message that its service would refuse did not arrive."""
    seen = evidence()
    seen.notices = [replace(seen.notices[0], problems=("$.links: wrong",)), *seen.notices[1:]]

    assert judge("redis", WANTED, seen).problems == ["pager: $.links: wrong"]


def test_an_incident_that_is_open_is_one_page() -> None:
    """A trigger with a key that is open adds to that incident; after its end, or with another key, it is a new one."""
    first = notice("pager", 1)
    again, over, anew = notice("pager", 2), notice("pager", 3, firing=False), notice("pager", 4)
    other = notice("pager", 5, incident="i2")

    assert pages([first, again]) == 1
    assert pages([first, again, over]) == 1
    assert pages([first, over, anew]) == 2
    assert pages([first, other]) == 2


def test_a_second_page_is_a_problem() -> None:
    """Somebody who is woken twice for one outage is woken once too often."""
    seen = evidence()
    seen.notices = [*seen.notices, notice("pager", 190), notice("pager", 195, firing=False)]

    assert judge("redis", WANTED, seen).problems == ["2 pages, wanted 1"]


def test_muted_and_fired_are_counted() -> None:
    """An outage that should trip many alerts and mute all but one is held to both."""
    seen = evidence()
    seen.firings = [*seen.firings, Firing({"alertname": "A", "severity": "high"}, 120, 150, muted=True)]
    wanted = replace(WANTED, alerts=3, muted=2)

    assert judge("redis", wanted, seen).problems == ["2 alerts fired, wanted 3", "1 alerts were muted, wanted 2"]


def test_whose_messages() -> None:
    """A message belongs to a drill by its alerts' labels or, where it has none, by its text."""
    subject = Subject(({"app": "drill-a"},), r"\bdrill-a\b")

    assert subject.has_labels({"app": "drill-a", "severity": "high"})
    assert not subject.has_labels({"app": "drill-ab"})
    assert subject.has_notice(Notice("chat", 1, True, "high", "drill-a fails"))
    assert not subject.has_notice(Notice("chat", 1, True, "high", "drill-ab fails"))
    assert not subject.has_notice(Notice("hook", 1, True, "high", "drill-a", alerts=(Told("f", True, {"app": "b"}),)))


def test_the_table_has_a_row_for_each() -> None:
    """A drill that failed stands out, in the table and in its lines."""
    well, failed = judge("redis", WANTED, evidence()), judge("late", WANTED, evidence(told_at=131))
    head, _, first, second = table([well, failed]).splitlines()

    assert head.split("|")[1].strip() == "drill"
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "redis", "15.0 s", "21.0 s", "1", "1", "0", "20.0 s", "40.0 s", "well",
    ]  # fmt: skip
    assert second.split("|")[-2].strip() == "FAILED"
    assert lines(failed)[-1] == "PROBLEM:  told after 31.0 s, wanted 30 s"
