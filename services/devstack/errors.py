"""Defines the errors of the development stack.

ServerError            a server cannot be started or stopped; the text is one line for the user
  FolderInUse          another process supervises this data folder
"""


class ServerError(Exception):
    """A server cannot be started or stopped. The text is one line that says what to do."""


class FolderInUse(ServerError):
    """Another process supervises this data folder."""
