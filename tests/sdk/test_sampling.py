"""Rows of merged requests add up to what was served, exactly: counts, buckets of the histogram, sums, sizes."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import platform_sdk
from platform_sdk.delivery import kinds
from platform_sdk.delivery.sampling import MOST_HELD, Sampler
from platform_sdk.events import EVENTS
from platform_sdk.events.http_request import BOUNDS
from tests.sdk.events import Store, difference, serve

HTTP = kinds.HTTP_REQUEST
DURATION, FIRST_BYTE, SIZE, USER = kinds.positions(
    HTTP, "duration_seconds", "first_byte_seconds", "response_bytes", "user_id"
)


def request(
    at: float, user_id: str | None = None, route: str = "/", status: int = 200, seconds: float = 0.1,
    first_byte_seconds: float | None = None, size: int | None = 5,
) -> tuple[Any, ...]:  # fmt: skip
    values = {
        "route": route, "method": "GET", "status": status, "duration_seconds": seconds, "response_bytes": size,
        "user_id": user_id, "first_byte_seconds": first_byte_seconds,
    }  # fmt: skip
    return (HTTP, at, *(values.get(column.name) for column in EVENTS[HTTP].columns[:-1]))


def numbers(weighted: Iterable[tuple[tuple[Any, ...], int]]) -> dict[object, tuple[float, ...]]:
    """Return, by label set, what `/metrics` shows and the sum of sizes: count, buckets, sum of durations, bytes."""
    sums: dict[object, list[float]] = {}
    for event, weight in weighted:
        seconds = event[DURATION] if event[FIRST_BYTE] is None else event[FIRST_BYTE]
        buckets = [weight if seconds <= bound else 0 for bound in BOUNDS]
        more = [weight, *buckets, seconds * weight, (event[SIZE] or 0) * weight]
        sums[event[2:5]] = [have + new for have, new in zip(sums.get(event[2:5], [0] * len(more)), more, strict=True)]
    return {labels: tuple(each) for labels, each in sums.items()}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("limit", [0, 1, 7, 100, None])
def test_numbers_are_those_without_sampling(seed: int, limit: float | None) -> None:
    """Whatever comes in whatever order: counts, buckets, sums of durations, and but for rounding bytes, per route."""
    chance = random.Random(seed)
    sampler, served, stored = Sampler(limit), [], []
    at = 1000.0
    for _ in range(3000):
        at += chance.choice((0.0, 0.001, 0.05))
        event = request(
            at, chance.choice((None, f"user {chance.randrange(9)}")), f"/{chance.randrange(5) ** 2}",
            chance.choice((200, 304)), chance.choice((chance.choice(BOUNDS), chance.expovariate(9))),
            chance.choice((None, None, None, chance.expovariate(9))), chance.choice((None, chance.randrange(9999))),
        )  # fmt: skip
        served.append((event, 1))
        stored += sampler.chosen([event])
        if chance.random() < 0.02:
            sampler = sampler.copy()
            stored += sampler.release(at - 1)
    stored += sampler.release()
    expected, found = numbers(served), numbers(stored)

    assert found.keys() == expected.keys()
    for labels, (*counts, seconds, size) in expected.items():
        assert list(found[labels][:-2]) == counts
        assert found[labels][-2] == pytest.approx(seconds, rel=1e-12)
        assert found[labels][-1] == pytest.approx(
            size, abs=len(stored) / 2 * (limit or 100) if limit is not None else 0
        )
    assert sampler.events == 0


def test_edges_of_buckets_are_kept() -> None:
    """Means of equal durations at a bound stay in its bucket, though adding them up rounds."""
    sampler = Sampler(0)
    for bound in BOUNDS:
        for count in range(1, 50):
            served = [request(1000.0, seconds=bound)] * count
            stored = [*sampler.chosen(served), *sampler.release()]

            assert sum(weight for event, weight in stored if event[DURATION] <= bound) == count


def test_everything_merged_is_a_row_a_series() -> None:
    """With 0, requests without a user that are fast are one row per route, method, status and bucket."""
    sampler = Sampler(0)
    served = [request(1000 + n / 1000, route=f"/{n % 3}", seconds=(0.001, 0.2)[n % 2]) for n in range(6000)]
    assert list(sampler.chosen(served)) == []

    assert sorted(weight for _, weight in sampler.release()) == [1000] * 6


def test_slow_requests_have_rows_of_their_own() -> None:
    """However many others there are, a slow request is stored as it was."""
    sampler = Sampler(0)
    served = [request(1000 + n / 1000, seconds=1.5 if n % 100 == 0 else 0.01) for n in range(1000)]
    alone = list(sampler.chosen(served))

    assert alone == [(event, 1) for event in served[::100]]


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, 2e9, "slow", None])
def test_what_would_be_rejected_is_not_merged(seconds: Any) -> None:
    """One invalid duration does not spoil the sum of those like it."""
    sampler = Sampler(0)
    served = [request(1000.0), request(1000.0, seconds=seconds), request(1000.0, size="big"), request(1000.0)]  # type: ignore[arg-type]

    assert [weight for _, weight in sampler.chosen(served)] == [1, 1]
    assert [weight for _, weight in sampler.release()] == [2]


def test_rate_of_rows_is_bounded() -> None:
    """Ten times the limit for ten seconds stores about the limit a second, after the first."""
    sampler = Sampler(100)
    rows = [int(event[1]) for event, _ in sampler.chosen(request(n / 1000) for n in range(10_000))]

    assert all(80 <= count <= 130 for second, count in Counter(rows).items() if second > 0)


def test_every_user_is_stored() -> None:
    """However many requests others make, each user has a row every half minute."""
    sampler = Sampler(10)
    # For a minute; one in 100 requests is of one of 20 users, the others of one more.
    served = (request(n / 1000, f"user {n // 100 % 20}" if n % 100 == 0 else "robot") for n in range(60_000))
    stored = Counter(event[USER] for event, _ in sampler.chosen(served))

    assert {f"user {number}" for number in range(20)} < set(stored)
    assert all(stored[f"user {number}"] >= 2 for number in range(20))


def test_made_up_users_do_not_switch_sampling_off() -> None:
    """As many rows again as sampling lets through, not more."""
    sampler = Sampler(100)
    rows = [int(event[1]) for event, _ in sampler.chosen(request(n / 1000, f"user {n}") for n in range(10_000))]

    assert all(count <= 230 for second, count in Counter(rows).items() if second > 0)


def test_made_up_routes_do_not_fill_memory() -> None:
    """As many rows wait as may; what comes beyond is stored at once."""
    sampler = Sampler(0)
    at_once = list(sampler.chosen(request(1000.0, route=f"/{n}") for n in range(MOST_HELD + 100)))

    assert len(at_once) == 100
    assert sampler.events == MOST_HELD


def test_errors_are_never_sampled(store: Store, start: Callable[..., None]) -> None:
    """Only successes are held back; every failure is a row, and all of it adds up in the store."""
    start(sample_above_per_second=5, flush_interval_seconds=60)
    serve(500)
    serve(40, status=500)
    serve(30, status=404)
    assert platform_sdk.flush(60)

    rows = store.database.execute("SELECT status, sum(weight), count(*) FROM monitoring.http_request GROUP BY 1")
    totals = {status: (total, count) for status, total, count in rows}
    assert totals[500] == (40, 40)
    assert totals[404] == (30, 30)
    assert totals[200][0] == 500
    assert totals[200][1] < 50
    assert platform_sdk.stats()["stored"] == 570
    assert difference() == difference(store.ledger()) == 0
