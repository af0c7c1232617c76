"""Connect to PostgreSQL, and the schema `monitoring`."""
