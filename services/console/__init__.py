"""Serves every call of the services over HTTP."""
