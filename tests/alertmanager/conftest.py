"""Fixtures of Alertmanager's tests."""

from collections.abc import Iterator

import pytest

from tests.alertmanager.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return an HTTP server on loopback that keeps what is posted to it."""
    one = Receiver()
    yield one
    one.close()
