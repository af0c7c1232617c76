"""Two Alertmanagers that know each other: whichever dies, nothing is lost and nothing is sent twice."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.alertmanager.shipped import Labels, post, turned_to
from tests.servers import PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.receivers.http import HttpReceiver
from tools.stack.servers import Alertmanager
from tools.stack.servers.alertmanager import Cluster

PEER_TIMEOUT_SECONDS = 1
# Shorter than shipped, and nothing else is different: how long the second waits for the first, and how often they talk.
HASTE = [
    f"--cluster.peer-timeout={PEER_TIMEOUT_SECONDS}s",
    *("--cluster.gossip-interval=50ms", "--cluster.probe-interval=200ms", "--cluster.probe-timeout=100ms"),
    *("--cluster.pushpull-interval=1s", "--cluster.reconnect-interval=1s"),
]
# As shipped, a group is looked at less often than the second waits for the first: docs/alerting.md says why.
TIMERS = {"group_wait": "1s", "group_interval": "3s"}

Pair = list[Alertmanager]


def outage(app: str) -> Labels:
    """Return an alert that is a group of its own."""
    return {"alertname": "PlatformHttpErrorsHigh", "severity": "critical", "app": app}


@pytest.fixture
def pair(
    prometheus_binaries: PrometheusBinaries,
    start_alertmanager: Callable[..., Alertmanager],
    receiver: HttpReceiver,
    tmp_path: Path,
) -> Pair:
    """Return two Alertmanagers that have found each other."""
    config = turned_to(receiver.url, tmp_path / "am", timers=TIMERS)
    first = Cluster()
    options = {"binary": prometheus_binaries.alertmanager, "flags": HASTE}
    pair = [
        start_alertmanager(config, cluster=first, **options),
        start_alertmanager(config, cluster=Cluster(peers=(first.address,)), **options),
    ]
    poll_until(lambda: [members(one) for one in pair] == [2, 2])
    return pair


def members(server: Alertmanager) -> int:
    """Return how many it takes for alive, once it is settled."""
    cluster = server.get("/api/v2/status")["cluster"]
    return len(cluster["peers"]) if cluster["status"] == "ready" else 0


def first_to_send(pair: Pair) -> int:
    """Return which of them sends; the other waits for it."""
    return [metric(one, "alertmanager_peer_position") for one in pair].index(0)


def metric(server: Alertmanager, name: str) -> float:
    """Return the value of one of its own metrics."""
    lines = requests.get(f"{server.url}/metrics", timeout=60).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def reported(receiver: HttpReceiver, status: str) -> Counter[str]:
    """Return how often each app was reported."""
    return Counter(alert["labels"]["app"] for alert in receiver.alerts(status))


def let_the_other_take_its_turn() -> None:
    """Wait as long as the second in line waits, and twice its look at the group: a second notice would come by then."""
    end = time.monotonic() + PEER_TIMEOUT_SECONDS + 2
    poll_until(lambda: time.monotonic() > end, PEER_TIMEOUT_SECONDS + 5)


@pytest.mark.parametrize("dies", ["the sender", "the one in waiting"])
def test_one_is_killed_and_nothing_is_lost_or_sent_twice(pair: Pair, receiver: HttpReceiver, dies: str) -> None:
    """Alerts before, during and after the death of either are reported once, and so is the end of each."""
    sender = first_to_send(pair)
    victim = pair[sender if dies == "the sender" else 1 - sender]
    survivor = pair[1 - pair.index(victim)]
    for one in pair:
        post(one, outage("before"))
    poll_until(lambda: reported(receiver, "firing")["before"])
    let_the_other_take_its_turn()
    # In its group_wait, not yet sent: the worst moment.
    for one in pair:
        post(one, outage("during"), began_seconds_ago=0)
    victim.kill()
    post(survivor, outage("after"))
    poll_until(lambda: reported(receiver, "firing").keys() >= {"during", "after"})
    let_the_other_take_its_turn()
    post(survivor, outage("before"), outage("during"), outage("after"), resolved=True)
    poll_until(lambda: reported(receiver, "resolved").keys() >= {"before", "during", "after"})
    let_the_other_take_its_turn()

    assert reported(receiver, "firing") == {"before": 1, "during": 1, "after": 1}
    assert reported(receiver, "resolved") == {"before": 1, "during": 1, "after": 1}


def test_who_comes_back_does_not_tell_again(pair: Pair, receiver: HttpReceiver) -> None:
    """One that was killed learns from the other what was sent while it was away."""
    victim, survivor = pair
    post(victim, outage("before"))
    post(survivor, outage("before"))
    poll_until(lambda: reported(receiver, "firing")["before"])
    let_the_other_take_its_turn()
    victim.kill()
    post(survivor, outage("meanwhile"))
    poll_until(lambda: reported(receiver, "firing")["meanwhile"])
    victim.start()
    poll_until(lambda: [members(one) for one in pair] == [2, 2])
    for one in pair:
        post(one, outage("before"), outage("meanwhile"))
    let_the_other_take_its_turn()

    assert reported(receiver, "firing") == {"before": 1, "meanwhile": 1}


def test_a_silence_is_known_to_both(pair: Pair, receiver: HttpReceiver) -> None:
    """Whichever is asked to be silent, both are."""
    silence = {
        "matchers": [{"name": "app", "value": "noisy", "isRegex": False, "isEqual": True}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "a test",
        "comment": "known",
    }
    requests.post(f"{pair[0].url}/api/v2/silences", json=silence, timeout=60).raise_for_status()
    poll_until(lambda: pair[1].get("/api/v2/silences"))
    for one in pair:
        post(one, outage("noisy"), outage("other"))
    poll_until(lambda: reported(receiver, "firing")["other"])
    let_the_other_take_its_turn()

    assert reported(receiver, "firing") == {"other": 1}
