"""The calls of the modules that this SDK replaces, so that only an import changes."""
