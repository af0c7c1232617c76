"""The dashboards, a module each, whose BOARD is the dashboard."""
