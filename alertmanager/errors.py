"""What can be wrong with the file of channels."""


class ChannelsError(ValueError):
    """The file cannot be used; the message names the key, its value and what was wanted."""
