"""Prometheus exporter for web and scraping platforms."""

__version__ = "0.1.0"
