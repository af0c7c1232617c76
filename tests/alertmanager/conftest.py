"""Fixtures of Alertmanager's tests."""

from collections.abc import Iterator

import pytest

from tools.stack.receivers.http import HttpReceiver


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    """Return an HTTP server on loopback that keeps what is posted to it by Alertmanager's webhook."""
    with HttpReceiver("webhook") as one:
        yield one
