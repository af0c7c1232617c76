"""Hooks that record calls to external APIs without a change at the call site; one module per HTTP library."""
