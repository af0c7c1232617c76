"""`make test-compose`: run docker-compose.yml as it ships on an engine of its own, with images made on this machine."""
