"""Hold what fails on the played platform: code with bugs in it, so that errors have stack traces."""
