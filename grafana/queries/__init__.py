"""The queries of the dashboards, each written once, a module per subject."""
