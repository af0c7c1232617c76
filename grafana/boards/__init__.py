"""Hold the dashboards, a module each, which offers BOARD."""
