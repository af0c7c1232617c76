"""Read the rows that are kept: to export them, and to give Prometheus the past it has not seen."""
