"""Capture errors: exceptions, their stack traces, and what tells issues apart."""
