"""Chaos and endurance: an application and an exporter at work while everything below them fails."""
