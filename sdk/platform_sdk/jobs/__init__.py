"""Scraping jobs, and hooks for what runs them: Scrapy, Celery, RQ; each imported by its own path."""
