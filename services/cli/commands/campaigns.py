"""`./onefold campaign`: the results of a campaign by the events of a mail system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from onefold.segment.v1.segment_facts_pb2 import SegmentDefined
from onefold.segment.v1.segment_service_pb2 import Estimate, PreviewSegmentRequest
from typer import Argument, Option

from services.chassis.codec.rules import rule_to_proto
from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.cli.segment_previews import format_estimate
from services.client.client import Client
from services.kernel.rules.forms.json_dump import Form
from services.kernel.rules.forms.json_form import parse_rule

#: The events after a sending, in the order in which they are shown.
STEPS = ("email_delivered", "email_opened", "email_clicked", "email_unsubscribed", "email_bounced")


class CampaignEvents(NamedTuple):
    """How the events of a mail system name a campaign and a sending."""

    campaign_id: str
    #: The event of a sending.
    sent: str = "email_sent"
    #: The property that has the campaign, and the one that has the id of the sent message.
    campaign_property: str = "campaign_id"
    message_property: str = "message_id"

    def of(self, event: str) -> Form:
        """Return the rule that a person has an event of the campaign."""
        return {"count": {**self._filter(event), "at_least": 1}}

    def tied(self, event: str) -> Form:
        """Return the rule that a person has an event that follows the sending of its message."""
        steps = [self._filter(self.sent), self._filter(event)]
        return {"sequence": {"steps": steps, "same": self.message_property, "at_least": 1}}

    def _filter(self, event: str) -> Form:
        return {"event": event, "where": {self.campaign_property: self.campaign_id}}


class StepResult(NamedTuple):
    """How many persons have an event of a campaign."""

    event: str
    persons: Estimate
    #: Those whose event belongs to a message that was sent to them; None for the sending itself.
    tied: Estimate | None


def campaign(
    data: DataDir,
    campaign_id: Annotated[str, Argument(help="The campaign, as the events name it.")],
    sent: Annotated[str, Option(help="The event of a sending.")] = "email_sent",
    events: Annotated[
        list[str] | None, Option("--event", metavar="NAME", help="Events instead of the usual.")
    ] = None,
    campaign_property: Annotated[str, Option(help="Has the campaign.")] = "campaign_id",
    message_property: Annotated[str, Option(help="Has the sent message.")] = "message_id",
) -> None:
    """Show how many persons a mailing was sent to, and how many opened, clicked and so on.

    An opening belongs to a sending where both have the same campaign and the same message.
    """
    named = CampaignEvents(campaign_id, sent, campaign_property, message_property)
    steps = events or STEPS
    rows = run_with_client(data, lambda client: campaign_results(client, named, steps))
    output.print_table(
        ("event", "persons", "of a message that was sent"),
        [
            (one.event, format_estimate(one.persons), format_estimate(one.tied) if one.tied else "")
            for one in rows
        ],
    )


async def campaign_results(
    client: Client, named: CampaignEvents, steps: Sequence[str]
) -> list[StepResult]:
    """Return the results of a campaign: of the sending, and of each event after it.

    Raises OnefoldError; InvalidField where a name cannot be part of a rule.
    """
    results = [StepResult(named.sent, await _size(client, named.of(named.sent)), None)]
    for event in steps:
        persons = await _size(client, named.of(event))
        tied = await _size(client, named.tied(event)) if persons.high else persons
        results.append(StepResult(event, persons, tied))
    return results


async def _size(client: Client, form: Form) -> Estimate:
    segment = SegmentDefined(rule=rule_to_proto(parse_rule(form)))
    request = PreviewSegmentRequest(segment=segment)
    return (await client.segment.PreviewSegment(request)).members[0].size
