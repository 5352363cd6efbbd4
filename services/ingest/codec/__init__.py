"""Translates between protobuf or JSON and the values of the domain."""
