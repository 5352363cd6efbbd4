"""Decides which events are accepted and which facts they become, without side effects."""
