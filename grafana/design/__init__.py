"""The common design of all dashboards."""
