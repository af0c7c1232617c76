"""Hooks that see calls to outside APIs without a call at the call site; one module per HTTP library."""
