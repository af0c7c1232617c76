"""Errors of a pool's processes, as their caller gets them: with the stack of the process as a text."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from platform_sdk.capture.exceptions import Captured, capture
from platform_sdk.capture.fingerprint import Fingerprints
from platform_sdk.capture.stacktrace import Stacks

FORK = multiprocessing.get_context("fork")


def scrape(number: int) -> None:
    """Fail in one place."""
    raise ValueError(f"page {number}")


def store(number: int) -> None:
    """Fail in another one."""
    raise ValueError(f"page {number}")


def by_futures(work: Callable[[int], None], number: int) -> None:
    """Run it in a process of concurrent.futures."""
    with ProcessPoolExecutor(1, FORK) as pool:
        pool.submit(work, number).result()


def by_pool(work: Callable[[int], None], number: int) -> None:
    """Run it in a process of multiprocessing."""
    with FORK.Pool(1) as pool:
        pool.apply(work, (number,))


@pytest.fixture(params=[by_futures, by_pool])
def error(request: pytest.FixtureRequest) -> Callable[..., Captured]:
    """Return a function that captures what a pool's process raised."""

    def raised(*args: Any) -> Captured:
        try:
            request.param(*args)
        except ValueError as error:
            captured = capture(error)
            assert captured is not None
            return captured
        raise AssertionError("nothing was raised")

    return raised


def test_original(error: Callable[..., Captured]) -> None:
    """Type and message are the original's, and the trace has the process's stack."""
    captured = error(scrape, 7)

    assert (captured.error_type, captured.chain[0].message) == ("ValueError", "page 7")
    assert ", in scrape\n" in (Stacks().trace(captured) or "")


def test_groups(error: Callable[..., Captured]) -> None:
    """Errors of one function are one issue; those of another, which the same line waits for, are another."""
    prints = Fingerprints(Stacks())
    first, second, other = (
        prints.of(error(work, number))[0] for work, number in ((scrape, 1), (scrape, 2), (store, 1))
    )

    assert first == second
    assert first != other
