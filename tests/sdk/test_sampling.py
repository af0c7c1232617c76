"""Weights of sampled requests add up to what was served, exactly."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import platform_sdk
from platform_sdk.delivery.sampling import Sampler
from tests.sdk.events import Store, difference, serve


def request(at: float, user_id: str | None = None, route: str = "/", status: int = 200) -> tuple[Any, ...]:
    return (0, at, route, "GET", status, 0.1, 5, user_id, None, None, None, None, None)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limit", [1, 7, 100, None])
def test_weights_add_up_per_label_set(seed: int, limit: float | None) -> None:
    """Whatever comes in whatever order, no request is lost or counted twice, route by route."""
    chance = random.Random(seed)
    sampler, served, stored = Sampler(limit), Counter[object](), Counter[object]()
    at = 1000.0
    for _ in range(3000):
        at += chance.choice((0.0, 0.001, 0.05))
        event = request(at, chance.choice((None, f"user {chance.randrange(9)}")), f"/{chance.randrange(5) ** 2}",
                        chance.choice((200, 304)))  # fmt: skip
        served[event[2:5]] += 1
        stored[event[2:5]] += sampler.weigh(event)
        if chance.random() < 0.02:
            sampler = sampler.copy()
            for released, weight in sampler.release(at - 1):
                stored[released[2:5]] += weight
    for released, weight in sampler.release():
        stored[released[2:5]] += weight

    assert stored == served
    assert sampler.events == 0


def test_rate_of_rows_is_bounded() -> None:
    """Ten times the limit for ten seconds stores about the limit a second, after the first."""
    sampler = Sampler(100)
    rows = [int(n / 1000) for n in range(10_000) if sampler.weigh(request(n / 1000))]

    assert all(80 <= count <= 130 for second, count in Counter(rows).items() if second > 0)


def test_every_user_is_stored() -> None:
    """However many requests others make, each user has a row every half minute."""
    sampler, stored = Sampler(10), Counter[object]()
    for n in range(60_000):  # for a minute; one in 100 requests is of one of 20 users, the others of one more
        made = request(n / 1000, f"user {n // 100 % 20}" if n % 100 == 0 else "robot")
        stored[made[7]] += sampler.weigh(made) > 0

    assert {f"user {number}" for number in range(20)} < set(stored)
    assert all(stored[f"user {number}"] >= 2 for number in range(20))


def test_made_up_users_do_not_switch_sampling_off() -> None:
    """As many rows again as sampling lets through, not more."""
    sampler = Sampler(100)
    rows = [int(n / 1000) for n in range(10_000) if sampler.weigh(request(n / 1000, f"user {n}"))]

    assert all(count <= 230 for second, count in Counter(rows).items() if second > 0)


def test_errors_are_never_sampled(store: Store, start: Callable[..., None]) -> None:
    """Only successes are held back; every failure is a row, and all of it adds up in the store."""
    start(sample_above_per_second=5, flush_interval_seconds=60)
    serve(500)
    serve(40, status=500)
    serve(30, status=404)
    assert platform_sdk.flush()

    rows = store.database.execute("SELECT status, sum(weight), count(*) FROM monitoring.http_request GROUP BY 1")
    totals = {status: (total, count) for status, total, count in rows}
    assert totals[500] == (40, 40)
    assert totals[404] == (30, 30)
    assert totals[200][0] == 500
    assert totals[200][1] < 50
    assert platform_sdk.stats()["stored"] == 570
    assert difference() == difference(store.ledger()) == 0
