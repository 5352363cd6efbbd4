"""`./onefold correct`: a trait of one person is corrected, and the correction withdrawn."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from onefold.profile.v1 import profile_service_pb2 as pb
from onefold.profile.v1.profile_facts_pb2 import TraitCorrected
from typer import Argument, Option

from services.cli import output
from services.cli.context import DataDir, run_with_client
from services.client.client import Client
from services.client.text import profile_selector
from services.kernel.errors import InvalidField


def correct(
    data: DataDir,
    who: Annotated[str, Argument(metavar="WHO", help="NAMESPACE:VALUE, or a profile id.")],
    trait: Annotated[str, Argument(metavar="TRAIT", help="The name of the trait.")],
    value: Annotated[str | None, Argument(metavar="VALUE", help="The right value, a text.")] = None,
    *,
    reason: Annotated[str, Option("--reason", help="Why; it is recorded.")],
    as_json: Annotated[
        bool, Option("--json", help="VALUE is JSON: a number, true, null, a list, an object.")
    ] = False,
    withdraw: Annotated[
        bool, Option("--withdraw", help="Let count again what the sources state.")
    ] = False,
) -> None:
    """Correct a trait of one person. What the sources state stays in the log."""
    correction = correction_of(trait, value, reason, as_json=as_json, withdraw=withdraw)
    run_with_client(data, lambda client: _correct(client, who, correction))


def correction_of(
    trait: str, value: str | None, reason: str, *, as_json: bool, withdraw: bool
) -> TraitCorrected:
    """Return the correction that the arguments of the command describe. Raises InvalidField."""
    if withdraw == (value is not None):
        raise InvalidField("give the right value, or --withdraw and none", field="VALUE")
    if withdraw:
        return TraitCorrected(trait=trait, withdrawn=True, reason=reason)
    text = value or ""
    raw = text.encode() if as_json else msgspec.json.encode(text)
    return TraitCorrected(trait=trait, value=raw, reason=reason)


async def _correct(client: Client, who: str, correction: TraitCorrected) -> None:
    by: dict[str, Any] = profile_selector(who)
    request = pb.CorrectTraitRequest(**by, correction=correction)
    response = await client.profile.CorrectTrait(request)
    await client.await_token(response.token)
    if not response.changed:
        output.out.print(f"{correction.trait} has this correction already")
    elif correction.withdrawn:
        output.out.print(f"{correction.trait} is what the sources state again")
    else:
        output.out.print(f"{correction.trait} is corrected")
