"""Probe the components a platform stands on."""
