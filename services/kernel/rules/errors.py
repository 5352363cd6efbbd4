"""Defines the error of a rule that cannot be parsed."""

from __future__ import annotations

from services.kernel.errors import InvalidField


class RuleError(InvalidField):
    """A rule is wrong at `field`, such as `all[1].distinct.property`; empty = the rule itself.

    `problem` says what is wrong, `remedy` what to write instead.
    """

    def __init__(self, problem: str, remedy: str, *, field: str = "") -> None:
        prefix = f"{field}: " if field else ""
        super().__init__(f"{prefix}{problem}; {remedy}", field=field)
        self.problem = problem
        self.remedy = remedy

    def under(self, path: str) -> RuleError:
        """Return the same error as seen from the rule that has this part at `path`."""
        return RuleError(self.problem, self.remedy, field=join_path(path, self.field))


def join_path(parent: str, child: str) -> str:
    """Join two parts of a path: `all[1]` and `distinct` make `all[1].distinct`."""
    if not parent or not child or child.startswith("["):
        return parent + child
    return f"{parent}.{child}"
