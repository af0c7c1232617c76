"""Talk to PostgreSQL with a deadline for every wait: the connection that the SDK and the exporter's probe share."""
