"""What the applications of the drills do, second by second."""

import random

from tools.drills.applications import API, ERROR, HTTP, JOB, Application

CHANCE = random.Random(1)


def minute(application: Application) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of a minute by statement."""
    rows: dict[str, list[tuple[object, ...]]] = {}
    for _ in range(60):
        for statement, found in application.second(CHANCE).items():
            rows.setdefault(statement, []).extend(found)
    return rows


def test_rates_are_kept_evenly() -> None:
    """Fractions add up: one in 20 s is three in a minute."""
    rows = minute(Application("a", requests=2, apis=("x", "y"), calls=0.5, errors=0.05))

    assert {statement: len(found) for statement, found in rows.items()} == {HTTP: 120, API: 60, ERROR: 3}


def test_shares_are_kept_exactly() -> None:
    """An API that answers 80 % fails every fifth call, each time a drill runs."""
    rows = minute(Application("a", apis=("x",), calls=5, failing_calls=0.2))

    assert [outcome for _, _, outcome, *_ in rows[API]].count("failure") in (59, 60)


def test_a_stuck_job_gives_signs_of_life_only() -> None:
    """Its row is still written, with no items more."""
    application = Application("a", jobs=True)
    [working] = application.second(CHANCE)[JOB]
    application.stuck = True
    [stuck] = application.second(CHANCE)[JOB]

    assert (working[2], stuck[2]) == (1, 0)


def test_silence() -> None:
    """A quiet application does nothing, but its job goes on."""
    assert minute(Application("a", requests=5, quiet=True)) == {}
    assert set(minute(Application("a", requests=5, jobs=True, quiet=True))) == {JOB}
