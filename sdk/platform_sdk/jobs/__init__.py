"""Hooks for what runs jobs: Scrapy, Celery, RQ; one module each, imported by its own path."""
