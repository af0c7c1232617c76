"""Stand-ins for what Alertmanager notifies; each checks what it receives against its service's documentation."""
