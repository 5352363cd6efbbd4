"""Translates descriptions of traits into responses."""

from __future__ import annotations

from onefold.profile.v1 import profile_service_pb2 as pb

from services.chassis.codec.fields import token_to_proto
from services.kernel.ids import to_hex
from services.kernel.rules.references import Definitions
from services.kernel.rules.values import canonical_json
from services.profile.domain.trait_survey import FormChange, SurveyedTraits, TraitCounts, users_of


def survey_to_proto(surveyed: SurveyedTraits) -> pb.CountTraitsResponse:
    """Return the response that describes traits."""
    traits = surveyed.survey.traits
    return pb.CountTraitsResponse(
        persons=surveyed.persons,
        one_in=surveyed.one_in,
        traits=[_description(name, counts, surveyed.definitions) for name, counts in traits],
        token=token_to_proto(surveyed.token),
    )


def _description(name: str, counts: TraitCounts, definitions: Definitions) -> pb.TraitDescription:
    message = pb.TraitDescription(
        name=name,
        persons=counts.persons,
        types=[
            # The numbers of the types are the enum's.
            pb.ValueTypeCount(type=type_, persons=number)  # type: ignore[arg-type]  # see above
            for type_, number in counts.types.most_common()
        ],
        cleaner=counts.cleaner,
        without_standard=counts.without_standard,
    )
    if counts.other_cleaner != counts.cleaner:
        message.change.cleaner = counts.other_cleaner
        message.change.persons = counts.changed
        message.change.values.extend(map(_change, counts.changes))
        message.change.definitions.extend(users_of(definitions, name, counts.cleaner))
    return message


def _change(change: FormChange) -> pb.StandardFormChange:
    return pb.StandardFormChange(
        value=canonical_json(change.value).encode(),
        before=change.before.encode(),
        after=change.after.encode(),
        persons=change.persons,
        profile_id=to_hex(change.profile_id),
    )
