"""Defines the errors of the development stack: their texts are one line that says what to do."""


class ServerError(Exception):
    """A server cannot be started or stopped."""


class FolderInUse(ServerError):
    """Another process supervises this data folder."""
