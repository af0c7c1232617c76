"""The servers of the platform as plain processes: for `make up` on a machine without Docker, and for the tests."""
