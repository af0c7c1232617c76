"""Hold the one error of this package.

Exception
  StackError      a server or its program cannot be had; the message says what is missing and what to do
"""


class StackError(Exception):
    """Tell a person what is missing and what to do about it."""
