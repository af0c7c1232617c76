"""The programs of the stack: which there are, where they are found on this machine, and how they are obtained."""
