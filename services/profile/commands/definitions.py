"""Defines tags, sets of stages and settings: appends a new version where the content differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from services.chassis import definitions
from services.chassis.definitions import Defined, DefinitionFact, Versioned, WorkspaceLocks
from services.chassis.postgres.database import Database
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField, RuleError
from services.kernel.ids import WorkspaceId
from services.kernel.rules.limits import check_cost, check_size, check_together
from services.kernel.rules.model import ReferenceKind, Rule
from services.kernel.rules.references import (
    Classification,
    Definitions,
    Name,
    check_definition,
    expand,
)
from services.kernel.tokens import Token
from services.profile.codec.definitions import settings_to_fact, tag_to_fact
from services.profile.commands.models import fit_model, model_tag
from services.profile.domain.rfm import RfmFit
from services.profile.domain.settings import WorkspaceSettings, check_settings
from services.profile.domain.tags import Tag, WorkspaceDefinitions, check_tag
from services.profile.projection.limits import RuleLimiter
from services.profile.store.definitions import load_workspace
from services.profile.store.profiles import open_snapshot

_D = TypeVar("_D", bound=Versioned)


@dataclass(frozen=True, slots=True)
class ProfileDefinitions:
    """Defines what the profiles of a workspace have."""

    database: Database
    runner: ProjectionRunner
    log: LogClient
    limiter: RuleLimiter
    #: One definition of a workspace at a time: each sees the predicates of those before it.
    locks: WorkspaceLocks = field(default_factory=WorkspaceLocks)

    async def define_tag(
        self,
        tag: Tag,
        *,
        etag: str = "",
        dry_run: bool = False,
        assumed: frozenset[Name] = frozenset(),
    ) -> Defined[Tag]:
        """Define a tag or a set of stages; its version is ignored.

        `assumed`: what a dry run takes as defined. Raises InvalidField, Conflict, TokenNotReached.
        """
        check_tag(tag)
        taken = assumed if dry_run else frozenset[Name]()
        desired = tag

        async def load(token: Token) -> Tag | None:
            nonlocal desired
            existing = await self._workspace(tag.workspace_id, token)
            current = existing.tags.get(tag.tag_id)
            if existing.settings.orders is not None or not dry_run:
                # A dry run may come before that of the settings.
                desired = tag.with_fit(_fit_in_force(tag, current), existing.settings)
            if current is not None and current.kind is not tag.kind and not current.retired:
                raise InvalidField(
                    "the id names a tag of another kind: retire that first, or choose another id",
                    field="tag.tag_id",
                )
            classification = None if tag.retired else tag.classification
            _check_references(tag.name, classification, existing.names, taken, prefix="tag")
            if not tag.retired:
                await self._check_size(desired, existing, taken)
            return current

        return await self._define(
            tag.workspace_id, lambda: desired, load, tag_to_fact, etag, dry_run=dry_run
        )

    async def fit_tag(self, workspace_id: WorkspaceId, tag_id: str) -> Defined[Tag]:
        """Fit the model of a tag over all persons, unless it is fitted in the current period.

        Raises NotFound, InvalidField, Conflict, TokenNotReached, ServiceUnavailable.
        """
        fitted: list[Tag] = []

        async def load(token: Token) -> Tag:
            await self.runner.reach(token)
            async with open_snapshot(self.database) as at:
                existing = await load_workspace(at.conn, workspace_id)
                current = model_tag(existing, tag_id)
                fitted[:] = [await fit_model(at, existing.settings, current)]
            await self._check_size(fitted[0], existing, frozenset())
            return current

        return await self._define(
            workspace_id, lambda: fitted[0], load, tag_to_fact, "", dry_run=False
        )

    async def define_settings(
        self, settings: WorkspaceSettings, *, etag: str = "", dry_run: bool = False
    ) -> Defined[WorkspaceSettings]:
        """Define the settings of a workspace; their version is ignored.

        Raises InvalidField, Conflict, TokenNotReached.
        """
        check_settings(settings)
        workspace_id = settings.workspace_id

        async def load(token: Token) -> WorkspaceSettings | None:
            existing = await self._workspace(workspace_id, token)
            needed = [trait.feature for trait in settings.all_computed_traits]
            await self.limiter.check(workspace_id, needed, field="settings.computed_traits")
            return existing.settings if existing.settings.version else None

        return await self._define(
            workspace_id, lambda: settings, load, settings_to_fact, etag, dry_run=dry_run
        )

    async def check_rule(
        self,
        workspace_id: WorkspaceId,
        rule: Rule,
        *,
        segment_id: str,
        retired: bool,
        assumed: frozenset[Name],
    ) -> int:
        """Check the rule of a segment; return how many predicates it adds to those in use.

        `segment_id` empty: it is a preview of no segment. `assumed`: what is taken as defined.
        Raises InvalidField, field `rule`.
        """
        async with open_snapshot(self.database) as at:
            names = (await load_workspace(at.conn, workspace_id)).names
        if segment_id:
            name = Name(ReferenceKind.SEGMENT, segment_id)
            classification = None if retired else Classification.of(rule)
            _check_references(name, classification, names, assumed, prefix="")
        if retired:
            return 0
        expanded = _expand(rule, names, assumed, "rule")
        return await self.limiter.check_rule(workspace_id, expanded, field="rule")

    async def expanded(
        self, workspace_id: WorkspaceId, rules: Sequence[Rule], *, field: str
    ) -> list[Rule]:
        """Return rules without references. Raises InvalidField below `field`."""
        async with open_snapshot(self.database) as at:
            names = (await load_workspace(at.conn, workspace_id)).names
        return [_expand(rule, names, frozenset(), f"{field}[{i}]") for i, rule in enumerate(rules)]

    async def _workspace(self, workspace_id: WorkspaceId, token: Token) -> WorkspaceDefinitions:
        await self.runner.reach(token)
        async with open_snapshot(self.database) as at:
            return await load_workspace(at.conn, workspace_id)

    async def _check_size(
        self, tag: Tag, existing: WorkspaceDefinitions, assumed: frozenset[Name]
    ) -> None:
        """Raise InvalidField where the rules of a tag are too many beside the others."""
        own = [(f"values[{i}].rule" if v else "rule", r) for i, (v, r) in _numbered(tag)]
        others = [
            rule
            for other in existing.tags.values()
            if not other.retired and other.tag_id != tag.tag_id
            for _, rule in other.classification.values
        ]
        for field_, rule in own:
            check_together(others, rule, field=f"tag.{field_}")
            names = {**existing.names, tag.name: tag.classification}
            expanded = _expand(rule, names, assumed, f"tag.{field_}")
            await self.limiter.check_rule(tag.workspace_id, expanded, field=f"tag.{field_}")
            others.append(rule)

    async def _define(
        self,
        workspace_id: WorkspaceId,
        desired: Callable[[], _D],
        load: Callable[[Token], Awaitable[_D | None]],
        to_fact: Callable[[_D], DefinitionFact],
        etag: str,
        *,
        dry_run: bool,
    ) -> Defined[_D]:
        async with self.locks.of(workspace_id):
            return await definitions.define(
                lambda _: desired(),
                log=self.log,
                load=load,
                to_fact=to_fact,
                etag=etag,
                dry_run=dry_run,
            )


def _fit_in_force(tag: Tag, current: Tag | None) -> RfmFit | None:
    """Return the fit of the current version, where it is one of as many quantiles."""
    model, other = tag.model, current.model if current else None
    is_same = model is not None and other is not None and model.quantiles == other.quantiles
    return other.fit if other is not None and is_same else None


def _numbered(tag: Tag) -> list[tuple[int, tuple[str, Rule]]]:
    return [(i, (value, rule)) for i, (value, rule) in enumerate(tag.classification.values)]


def _expand(rule: Rule, names: Definitions, assumed: frozenset[Name], field_: str) -> Rule:
    try:
        expanded = expand(rule, names, assumed)
        check_size(expanded)
    except RuleError as error:
        raise error.under(field_) from None
    check_cost(expanded, field=field_)
    return expanded


def _check_references(
    name: Name,
    classification: Classification | None,
    names: Definitions,
    assumed: frozenset[Name],
    *,
    prefix: str,
) -> None:
    try:
        check_definition(name, classification, names, assumed)
    except RuleError as error:
        raise (error.under(prefix) if prefix else error) from None
