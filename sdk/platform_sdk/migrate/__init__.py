"""Take the calls of the modules that this SDK replaces, so that an import is all that changes."""
