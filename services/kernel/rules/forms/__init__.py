"""The forms in which rules are written: JSON and YAML, a JSON Schema, and text for people."""
