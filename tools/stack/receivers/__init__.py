"""Servers that play what Alertmanager tells people by; each checks what comes against its service's documentation."""
