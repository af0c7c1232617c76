"""What can go wrong with a drill itself, as opposed to what it finds out."""


class DrillError(Exception):
    """The drill could not be played: a server did not start, or a name is unknown."""
