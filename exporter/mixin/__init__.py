"""Rules, dashboards, routes and the scrape job of an installation that has its own Prometheus, Alertmanager or Grafana.

All of it is made from what the bundle itself uses: prometheus/rules, grafana/dashboards and alertmanager/routes.yml.
"""
