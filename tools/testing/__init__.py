"""What tests and benchmarks share: databases, writers, a running exporter, a running stack, rows for dashboards."""
