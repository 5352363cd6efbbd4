"""Defines the errors of the development stack; each text is one line with the next step."""


class ServerError(Exception):
    """A server cannot be started or stopped."""


class FolderInUse(ServerError):
    """Another process supervises this data folder."""
