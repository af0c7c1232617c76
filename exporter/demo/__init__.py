"""Simulate a platform that does not exist, so that dashboards and alerts have something to show."""
