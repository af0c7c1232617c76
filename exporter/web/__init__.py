"""Serve HTTP: the server, TLS, users, rate limit and routes."""
