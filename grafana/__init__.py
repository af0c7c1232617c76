"""Make the dashboards: python -m grafana.generate."""
