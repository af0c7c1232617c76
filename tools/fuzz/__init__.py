"""Fuzzers: inputs that nobody meant to write, by target, repeatable by number, and kept where one found something."""
