"""Fixtures of these tests: an event store."""

from tests.sdk.conftest import store

__all__ = ["store"]
