"""Pictures of the dashboards, and a check of what a person sees, made with a browser and a running Grafana."""
