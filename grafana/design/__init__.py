"""Hold the one design of all dashboards."""
