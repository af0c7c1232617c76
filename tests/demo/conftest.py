"""Fixtures of the demo's tests."""

from tests.demo.simulated import simulated

__all__ = ["simulated"]
