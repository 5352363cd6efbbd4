"""Defines templates as facts of the log."""

from __future__ import annotations

from dataclasses import dataclass

from services.activation.codec.templates import template_to_proto
from services.activation.domain.model import Destination
from services.activation.domain.templates import (
    AT_ONCE,
    MAX_TEMPLATES,
    Template,
    check_fits,
    check_template,
)
from services.activation.store.destinations import load_destinations
from services.activation.store.templates import load_templates
from services.chassis.definitions import Defined, DefinitionFact, define
from services.chassis.postgres.database import Database, acquire
from services.chassis.projection.runner import ProjectionRunner
from services.chassis.rpc.clients import LogClient
from services.kernel.errors import InvalidField
from services.kernel.tokens import Token


@dataclass(frozen=True)
class TemplateCommands:
    """Defines templates."""

    database: Database
    runner: ProjectionRunner
    log: LogClient

    async def define(
        self, desired: Template, *, etag: str = "", dry_run: bool = False
    ) -> Defined[Template]:
        """Define a template, also where destinations use it: messages to come have the new texts.

        Raises InvalidField, Conflict, RetryableError.
        """
        check_template(desired)

        async def load(token: Token) -> Template | None:
            await self.runner.reach(token)
            async with acquire(self.database.api_pool) as conn:
                templates = await load_templates(conn, desired.workspace_id)
                destinations = await load_destinations(conn, desired.workspace_id)
            existing = {each.template_id: each for each in templates}
            if desired.template_id not in existing and len(existing) >= MAX_TEMPLATES:
                raise InvalidField(
                    f"the workspace has {len(existing)} templates, and at most {MAX_TEMPLATES} are"
                    " allowed: define one under the id of a retired template",
                    field="template.template_id",
                )
            for each in destinations:
                if each.template_id == desired.template_id and not each.retired:
                    _check_use(desired, each)
            return existing.get(desired.template_id)

        return await define(
            lambda _: desired,
            log=self.log,
            load=load,
            to_fact=_template_to_fact,
            etag=etag,
            dry_run=dry_run,
        )


def _check_use(template: Template, destination: Destination) -> None:
    """Check that a destination can still send a template. Raises InvalidField."""
    id_ = destination.destination_id
    if template.retired:
        raise InvalidField(
            f"the destination {id_!r} uses the template: retire that first, or give it another",
            field="template.retired",
        )
    try:
        check_fits(template, destination.channel.contract, AT_ONCE)
    except InvalidField as error:
        raise InvalidField(
            f"the destination {id_!r} uses the template: {error.message}", field="template.texts"
        ) from None


def _template_to_fact(template: Template) -> DefinitionFact:
    return DefinitionFact.from_message(
        template_to_proto(template),
        workspace_id=template.workspace_id,
        key=template.template_id,
        version=template.version,
    )
