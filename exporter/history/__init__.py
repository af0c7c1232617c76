"""The stored rows, read to export them and to give Prometheus the time before its start."""
