"""A group that only claims to show a case is detected."""

from typing import Any

import pytest

from tests.prometheus.cases import group_of, shortcomings

READS = {"app:x:ratio5m", "platform_x", "platform_threshold"}
MINIMUM = {"series": 'platform_threshold{indicator="minimum_events"}', "values": "20x100"}


def lacks(case: str, *, series: list[dict[str, str]], firing: dict[str, list[dict[str, str]]]) -> str:
    """Return what a group lacks that has these input series and expects these labels to fire at these times."""
    checks: list[dict[str, Any]] = [
        {
            "eval_time": time,
            "alertname": "PlatformX",
            "exp_alerts": [{"exp_labels": labels, "exp_annotations": {"summary": "x"}} for labels in expected],
        }
        for time, expected in firing.items()
    ]
    test = {"name": f"PlatformX: {case}", "interval": "5s", "input_series": series, "alert_rule_test": checks}
    group = group_of(test)
    assert group
    return shortcomings(group, "PlatformX", case, READS)


def x(app: str, values: str) -> dict[str, str]:
    """Return an input series of an app."""
    return {"series": f'platform_x{{app="{app}"}}', "values": values}


A: dict[str, str] = {"app": "a"}


@pytest.mark.parametrize("case", ["fires", "stays quiet", "recovers", "low traffic", "missing data"])
def test_a_group_without_a_check_shows_nothing(case: str) -> None:
    """The name of a group is not a proof."""
    assert lacks(case, series=[x("a", "1x100"), MINIMUM], firing={})


@pytest.mark.parametrize("case", ["stays quiet", "recovers", "low traffic", "missing data"])
def test_silence_over_no_data_shows_nothing(case: str) -> None:
    """An alert that reads nothing stays quiet whatever its rule is."""
    assert lacks(case, series=[{"series": 'platform_y{app="a"}', "values": "1x100"}], firing={"3m": []})


def test_recovery_needs_data_that_recovered() -> None:
    """An alert that ends because its series ended did not recover."""
    assert lacks("recovers", series=[x("a", "1x11 stale")], firing={"1m": [A], "3m": []})
    assert not lacks("recovers", series=[x("a", "1x11 0x80")], firing={"1m": [A], "3m": []})


def test_low_traffic_needs_a_control() -> None:
    """Without a busy subject that fires, the quiet one proves nothing."""
    assert lacks("low traffic", series=[x("few", "1x100"), MINIMUM], firing={"3m": []})
    assert not lacks("low traffic", series=[x("few", "1x100"), x("a", "1x100"), MINIMUM], firing={"3m": [A]})


def test_missing_data_needs_something_that_is_missing() -> None:
    """A check while every series is current shows no missing data; nor does a series that has just ended."""
    assert lacks("missing data", series=[x("a", "1x100"), MINIMUM], firing={"3m": []})
    assert lacks("missing data", series=[x("a", "1x11"), MINIMUM], firing={"3m": []})
    assert not lacks("missing data", series=[x("a", "1x11 stale"), MINIMUM], firing={"3m": []})
