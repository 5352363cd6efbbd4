"""Translates requests and responses of SegmentService."""

from __future__ import annotations

from onefold.segment.v1 import segment_service_pb2 as pb

from services.chassis.codec.fields import token_to_proto
from services.chassis.codec.named_rules import segment_rules, tag_rules
from services.chassis.codec.rules import rule_from_proto
from services.kernel.errors import InvalidField, TooLarge
from services.kernel.ids import ProfileId, WorkspaceId, to_hex
from services.kernel.rules.references import NamedRules
from services.kernel.tokens import Token
from services.segment.domain.model import JudgeQuestion
from services.segment.domain.preview import Estimate, MembersTally, SegmentPreview
from services.segment.domain.stays import Stay

#: Questions in one call of `Judge`.
MAX_QUESTIONS = 1_000


def stay_to_proto(stay: Stay, now_us: int) -> pb.Stay:
    """Return the message of a stay; `now_us`: the log's clock, Unix microseconds."""
    return pb.Stay(
        segment_id=stay.entered.segment_id,
        entered_at_us=stay.entered.changed_at_us,
        left_at_us=stay.left_at_us or 0,
        duration_us=stay.duration_us(now_us),
        segment_version=stay.entered.segment_version,
        entered_cause=stay.entered.cause.value,  # type: ignore[arg-type]  # the enum's numbers
        left_cause=stay.left_cause.value if stay.left_cause else 0,  # type: ignore[arg-type]  # as above
    )


def previewed_rules(request: pb.PreviewSegmentRequest) -> NamedRules:
    """Return the definition to preview. Raises InvalidField."""
    match request.WhichOneof("definition"):
        case "segment":
            return segment_rules(request.segment)
        case "tag":
            if not request.tag.tag_id:
                raise InvalidField("write the id of the tag", field="tag.tag_id")
            return tag_rules(request.tag)
        case _:
            raise InvalidField("write a segment or a tag", field="segment")


def questions_from_proto(request: pb.JudgeRequest) -> list[JudgeQuestion]:
    """Return the questions of a request. Raises InvalidField, TooLarge."""
    if len(request.questions) > MAX_QUESTIONS:
        limit = str(MAX_QUESTIONS)
        raise TooLarge(f"at most {limit} questions a call; split the request", limit=limit)
    return [
        JudgeQuestion(
            WorkspaceId(question.workspace_id),
            ProfileId(question.profile_id),
            rule_from_proto(question.rule, f"questions[{index}].rule"),
            question.at_us,
        )
        for index, question in enumerate(request.questions)
    ]


def preview_to_proto(preview: SegmentPreview, token: Token) -> pb.PreviewSegmentResponse:
    """Return the response with a preview."""
    return pb.PreviewSegmentResponse(
        members=[_members(preview, tally) for tally in preview.members],
        profiles=preview.profiles,
        evaluated=preview.evaluated,
        new_predicates=preview.new_predicates,
        retained=preview.retained,
        token=token_to_proto(token),
    )


def _members(preview: SegmentPreview, tally: MembersTally) -> pb.PreviewedMembers:
    return pb.PreviewedMembers(
        segment_id=tally.segment_id,
        size=_estimate(preview.estimate(tally.size)),
        entering=_estimate(preview.estimate(tally.entering)),
        leaving=_estimate(preview.estimate(tally.leaving)),
        sample=[
            pb.PreviewedProfile(profile_id=to_hex(profile_id), predicates=results)
            for profile_id, results in tally.sample
        ],
        entering_profile_ids=map(to_hex, tally.entering_profiles),
        leaving_profile_ids=map(to_hex, tally.leaving_profiles),
    )


def _estimate(found: Estimate) -> pb.Estimate:
    return pb.Estimate(value=found.value, low=found.low, high=found.high)
