from onefold.rule.v1 import rule_pb2 as _rule_pb2
from onefold.type.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Movement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOVEMENT_UNSPECIFIED: _ClassVar[Movement]
    MOVEMENT_ENTERED: _ClassVar[Movement]
    MOVEMENT_LEFT: _ClassVar[Movement]

class ReportKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_KIND_UNSPECIFIED: _ClassVar[ReportKind]
    REPORT_KIND_DELIVERED: _ClassVar[ReportKind]
    REPORT_KIND_UNDELIVERED: _ClassVar[ReportKind]
    REPORT_KIND_OPENED: _ClassVar[ReportKind]
    REPORT_KIND_CLICKED: _ClassVar[ReportKind]
    REPORT_KIND_REPLIED: _ClassVar[ReportKind]
    REPORT_KIND_COMPLAINED: _ClassVar[ReportKind]
    REPORT_KIND_UNSUBSCRIBED: _ClassVar[ReportKind]

class LeapDay(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEAP_DAY_UNSPECIFIED: _ClassVar[LeapDay]
    LEAP_DAY_FEB_28: _ClassVar[LeapDay]
    LEAP_DAY_MAR_1: _ClassVar[LeapDay]

class WhileInside(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WHILE_INSIDE_UNSPECIFIED: _ClassVar[WhileInside]
    WHILE_INSIDE_IGNORE: _ClassVar[WhileInside]
    WHILE_INSIDE_RESTART: _ClassVar[WhileInside]

class CouponState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COUPON_STATE_UNSPECIFIED: _ClassVar[CouponState]
    COUPON_STATE_ISSUED: _ClassVar[CouponState]
    COUPON_STATE_USED: _ClassVar[CouponState]

class PeopleInside(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PEOPLE_INSIDE_UNSPECIFIED: _ClassVar[PeopleInside]
    PEOPLE_INSIDE_STAY: _ClassVar[PeopleInside]
    PEOPLE_INSIDE_MOVE: _ClassVar[PeopleInside]
    PEOPLE_INSIDE_LEAVE: _ClassVar[PeopleInside]
MOVEMENT_UNSPECIFIED: Movement
MOVEMENT_ENTERED: Movement
MOVEMENT_LEFT: Movement
REPORT_KIND_UNSPECIFIED: ReportKind
REPORT_KIND_DELIVERED: ReportKind
REPORT_KIND_UNDELIVERED: ReportKind
REPORT_KIND_OPENED: ReportKind
REPORT_KIND_CLICKED: ReportKind
REPORT_KIND_REPLIED: ReportKind
REPORT_KIND_COMPLAINED: ReportKind
REPORT_KIND_UNSUBSCRIBED: ReportKind
LEAP_DAY_UNSPECIFIED: LeapDay
LEAP_DAY_FEB_28: LeapDay
LEAP_DAY_MAR_1: LeapDay
WHILE_INSIDE_UNSPECIFIED: WhileInside
WHILE_INSIDE_IGNORE: WhileInside
WHILE_INSIDE_RESTART: WhileInside
COUPON_STATE_UNSPECIFIED: CouponState
COUPON_STATE_ISSUED: CouponState
COUPON_STATE_USED: CouponState
PEOPLE_INSIDE_UNSPECIFIED: PeopleInside
PEOPLE_INSIDE_STAY: PeopleInside
PEOPLE_INSIDE_MOVE: PeopleInside
PEOPLE_INSIDE_LEAVE: PeopleInside

class EventTrigger(_message.Message):
    __slots__ = ("events", "same")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SAME_FIELD_NUMBER: _ClassVar[int]
    events: _rule_pb2.EventFilter
    same: str
    def __init__(self, events: _Optional[_Union[_rule_pb2.EventFilter, _Mapping]] = ..., same: _Optional[str] = ...) -> None: ...

class SegmentTrigger(_message.Message):
    __slots__ = ("segment_id", "on")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    on: Movement
    def __init__(self, segment_id: _Optional[str] = ..., on: _Optional[_Union[Movement, str]] = ...) -> None: ...

class ReportTrigger(_message.Message):
    __slots__ = ("of", "what")
    OF_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    of: _containers.RepeatedScalarFieldContainer[str]
    what: ReportKind
    def __init__(self, of: _Optional[_Iterable[str]] = ..., what: _Optional[_Union[ReportKind, str]] = ...) -> None: ...

class ListenTrigger(_message.Message):
    __slots__ = ("event", "segment", "report")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    event: EventTrigger
    segment: SegmentTrigger
    report: ReportTrigger
    def __init__(self, event: _Optional[_Union[EventTrigger, _Mapping]] = ..., segment: _Optional[_Union[SegmentTrigger, _Mapping]] = ..., report: _Optional[_Union[ReportTrigger, _Mapping]] = ...) -> None: ...

class StageTrigger(_message.Message):
    __slots__ = ("stages_id", "stage")
    STAGES_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    stages_id: str
    stage: str
    def __init__(self, stages_id: _Optional[str] = ..., stage: _Optional[str] = ...) -> None: ...

class DateTrigger(_message.Message):
    __slots__ = ("trait", "clock", "before_us", "zone", "leap_day")
    TRAIT_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    LEAP_DAY_FIELD_NUMBER: _ClassVar[int]
    trait: str
    clock: int
    before_us: int
    zone: str
    leap_day: LeapDay
    def __init__(self, trait: _Optional[str] = ..., clock: _Optional[int] = ..., before_us: _Optional[int] = ..., zone: _Optional[str] = ..., leap_day: _Optional[_Union[LeapDay, str]] = ...) -> None: ...

class ScheduleTrigger(_message.Message):
    __slots__ = ("at", "cron", "zone")
    AT_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    at: str
    cron: str
    zone: str
    def __init__(self, at: _Optional[str] = ..., cron: _Optional[str] = ..., zone: _Optional[str] = ...) -> None: ...

class CallTrigger(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FirstSeenTrigger(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EntryTrigger(_message.Message):
    __slots__ = ("event", "segment", "stage", "date", "schedule", "call", "first_seen")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_FIELD_NUMBER: _ClassVar[int]
    event: EventTrigger
    segment: SegmentTrigger
    stage: StageTrigger
    date: DateTrigger
    schedule: ScheduleTrigger
    call: CallTrigger
    first_seen: FirstSeenTrigger
    def __init__(self, event: _Optional[_Union[EventTrigger, _Mapping]] = ..., segment: _Optional[_Union[SegmentTrigger, _Mapping]] = ..., stage: _Optional[_Union[StageTrigger, _Mapping]] = ..., date: _Optional[_Union[DateTrigger, _Mapping]] = ..., schedule: _Optional[_Union[ScheduleTrigger, _Mapping]] = ..., call: _Optional[_Union[CallTrigger, _Mapping]] = ..., first_seen: _Optional[_Union[FirstSeenTrigger, _Mapping]] = ...) -> None: ...

class JourneyEntry(_message.Message):
    __slots__ = ("by", "per", "condition", "again_after_us", "while_inside", "restart_until_us", "not_after_us", "hold_out_ppm", "audience", "pace_an_hour")
    BY_FIELD_NUMBER: _ClassVar[int]
    PER_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    AGAIN_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    WHILE_INSIDE_FIELD_NUMBER: _ClassVar[int]
    RESTART_UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_US_FIELD_NUMBER: _ClassVar[int]
    HOLD_OUT_PPM_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    PACE_AN_HOUR_FIELD_NUMBER: _ClassVar[int]
    by: EntryTrigger
    per: str
    condition: Condition
    again_after_us: int
    while_inside: WhileInside
    restart_until_us: int
    not_after_us: int
    hold_out_ppm: int
    audience: str
    pace_an_hour: int
    def __init__(self, by: _Optional[_Union[EntryTrigger, _Mapping]] = ..., per: _Optional[str] = ..., condition: _Optional[_Union[Condition, _Mapping]] = ..., again_after_us: _Optional[int] = ..., while_inside: _Optional[_Union[WhileInside, str]] = ..., restart_until_us: _Optional[int] = ..., not_after_us: _Optional[int] = ..., hold_out_ppm: _Optional[int] = ..., audience: _Optional[str] = ..., pace_an_hour: _Optional[int] = ...) -> None: ...

class RuleCondition(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: _rule_pb2.Rule
    def __init__(self, rule: _Optional[_Union[_rule_pb2.Rule, _Mapping]] = ...) -> None: ...

class CouponCondition(_message.Message):
    __slots__ = ("name", "state")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: CouponState
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[CouponState, str]] = ...) -> None: ...

class EveryCondition(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[Condition]
    def __init__(self, parts: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ...) -> None: ...

class SomeCondition(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[Condition]
    def __init__(self, parts: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ...) -> None: ...

class NotCondition(_message.Message):
    __slots__ = ("part",)
    PART_FIELD_NUMBER: _ClassVar[int]
    part: Condition
    def __init__(self, part: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("rule", "coupon", "every", "some", "negated")
    RULE_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    EVERY_FIELD_NUMBER: _ClassVar[int]
    SOME_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    rule: RuleCondition
    coupon: CouponCondition
    every: EveryCondition
    some: SomeCondition
    negated: NotCondition
    def __init__(self, rule: _Optional[_Union[RuleCondition, _Mapping]] = ..., coupon: _Optional[_Union[CouponCondition, _Mapping]] = ..., every: _Optional[_Union[EveryCondition, _Mapping]] = ..., some: _Optional[_Union[SomeCondition, _Mapping]] = ..., negated: _Optional[_Union[NotCondition, _Mapping]] = ...) -> None: ...

class WaitStep(_message.Message):
    __slots__ = ("id", "span_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    span_us: int
    def __init__(self, id: _Optional[str] = ..., span_us: _Optional[int] = ...) -> None: ...

class UntilStep(_message.Message):
    __slots__ = ("id", "clock", "days", "coupon", "before_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    BEFORE_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    clock: int
    days: _containers.RepeatedScalarFieldContainer[int]
    coupon: str
    before_us: int
    def __init__(self, id: _Optional[str] = ..., clock: _Optional[int] = ..., days: _Optional[_Iterable[int]] = ..., coupon: _Optional[str] = ..., before_us: _Optional[int] = ...) -> None: ...

class ListenStep(_message.Message):
    __slots__ = ("id", "to", "at_most_us", "then", "otherwise")
    ID_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_US_FIELD_NUMBER: _ClassVar[int]
    THEN_FIELD_NUMBER: _ClassVar[int]
    OTHERWISE_FIELD_NUMBER: _ClassVar[int]
    id: str
    to: ListenTrigger
    at_most_us: int
    then: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    otherwise: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    def __init__(self, id: _Optional[str] = ..., to: _Optional[_Union[ListenTrigger, _Mapping]] = ..., at_most_us: _Optional[int] = ..., then: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ..., otherwise: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ...) -> None: ...

class Branch(_message.Message):
    __slots__ = ("steps", "when")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    when: Condition
    def __init__(self, steps: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ..., when: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...

class ChooseStep(_message.Message):
    __slots__ = ("id", "branches")
    ID_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    id: str
    branches: _containers.RepeatedCompositeFieldContainer[Branch]
    def __init__(self, id: _Optional[str] = ..., branches: _Optional[_Iterable[_Union[Branch, _Mapping]]] = ...) -> None: ...

class SplitArm(_message.Message):
    __slots__ = ("name", "share_ppm", "steps", "hold_out")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHARE_PPM_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    HOLD_OUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    share_ppm: int
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    hold_out: bool
    def __init__(self, name: _Optional[str] = ..., share_ppm: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ..., hold_out: _Optional[bool] = ...) -> None: ...

class SplitStep(_message.Message):
    __slots__ = ("id", "arms", "salt")
    ID_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    id: str
    arms: _containers.RepeatedCompositeFieldContainer[SplitArm]
    salt: str
    def __init__(self, id: _Optional[str] = ..., arms: _Optional[_Iterable[_Union[SplitArm, _Mapping]]] = ..., salt: _Optional[str] = ...) -> None: ...

class CouponUse(_message.Message):
    __slots__ = ("events", "code_property")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    CODE_PROPERTY_FIELD_NUMBER: _ClassVar[int]
    events: _rule_pb2.EventFilter
    code_property: str
    def __init__(self, events: _Optional[_Union[_rule_pb2.EventFilter, _Mapping]] = ..., code_property: _Optional[str] = ...) -> None: ...

class CouponPool(_message.Message):
    __slots__ = ("pool_id", "title", "prefix", "used", "version", "retired")
    POOL_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    pool_id: str
    title: str
    prefix: str
    used: CouponUse
    version: int
    retired: bool
    def __init__(self, pool_id: _Optional[str] = ..., title: _Optional[str] = ..., prefix: _Optional[str] = ..., used: _Optional[_Union[CouponUse, _Mapping]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...

class CouponIssue(_message.Message):
    __slots__ = ("pool", "valid_us", "used")
    POOL_FIELD_NUMBER: _ClassVar[int]
    VALID_US_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    pool: str
    valid_us: int
    used: CouponUse
    def __init__(self, pool: _Optional[str] = ..., valid_us: _Optional[int] = ..., used: _Optional[_Union[CouponUse, _Mapping]] = ...) -> None: ...

class SendStep(_message.Message):
    __slots__ = ("id", "destination_id", "template", "values", "issue", "valid_us", "else_to", "purpose", "together", "about")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class IssueEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: CouponIssue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CouponIssue, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    ISSUE_FIELD_NUMBER: _ClassVar[int]
    VALID_US_FIELD_NUMBER: _ClassVar[int]
    ELSE_TO_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TOGETHER_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    id: str
    destination_id: str
    template: str
    values: _containers.ScalarMap[str, str]
    issue: _containers.MessageMap[str, CouponIssue]
    valid_us: int
    else_to: str
    purpose: str
    together: bool
    about: str
    def __init__(self, id: _Optional[str] = ..., destination_id: _Optional[str] = ..., template: _Optional[str] = ..., values: _Optional[_Mapping[str, str]] = ..., issue: _Optional[_Mapping[str, CouponIssue]] = ..., valid_us: _Optional[int] = ..., else_to: _Optional[str] = ..., purpose: _Optional[str] = ..., together: _Optional[bool] = ..., about: _Optional[str] = ...) -> None: ...

class TaskStep(_message.Message):
    __slots__ = ("id", "queue", "title", "due_us", "to_trait")
    ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DUE_US_FIELD_NUMBER: _ClassVar[int]
    TO_TRAIT_FIELD_NUMBER: _ClassVar[int]
    id: str
    queue: str
    title: str
    due_us: int
    to_trait: str
    def __init__(self, id: _Optional[str] = ..., queue: _Optional[str] = ..., title: _Optional[str] = ..., due_us: _Optional[int] = ..., to_trait: _Optional[str] = ...) -> None: ...

class PutStage(_message.Message):
    __slots__ = ("stages_id", "stage")
    STAGES_ID_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    stages_id: str
    stage: str
    def __init__(self, stages_id: _Optional[str] = ..., stage: _Optional[str] = ...) -> None: ...

class PutStep(_message.Message):
    __slots__ = ("id", "tag", "stage")
    ID_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    tag: str
    stage: PutStage
    def __init__(self, id: _Optional[str] = ..., tag: _Optional[str] = ..., stage: _Optional[_Union[PutStage, _Mapping]] = ...) -> None: ...

class JoinStep(_message.Message):
    __slots__ = ("id", "destination_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    destination_id: str
    def __init__(self, id: _Optional[str] = ..., destination_id: _Optional[str] = ...) -> None: ...

class DropStep(_message.Message):
    __slots__ = ("id", "destination_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    destination_id: str
    def __init__(self, id: _Optional[str] = ..., destination_id: _Optional[str] = ...) -> None: ...

class StartStep(_message.Message):
    __slots__ = ("id", "journey_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    journey_id: str
    def __init__(self, id: _Optional[str] = ..., journey_id: _Optional[str] = ...) -> None: ...

class CloseStep(_message.Message):
    __slots__ = ("id", "task")
    ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    id: str
    task: str
    def __init__(self, id: _Optional[str] = ..., task: _Optional[str] = ...) -> None: ...

class VoidStep(_message.Message):
    __slots__ = ("id", "coupon")
    ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    id: str
    coupon: str
    def __init__(self, id: _Optional[str] = ..., coupon: _Optional[str] = ...) -> None: ...

class RepeatStep(_message.Message):
    __slots__ = ("id", "times", "steps")
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    id: str
    times: int
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    def __init__(self, id: _Optional[str] = ..., times: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ...) -> None: ...

class ExitStep(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class JourneyStep(_message.Message):
    __slots__ = ("wait", "until", "listen", "choose", "split", "send", "task", "put", "join", "drop", "start", "close", "void", "repeat", "exit")
    WAIT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    CHOOSE_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    SEND_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PUT_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    VOID_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    EXIT_FIELD_NUMBER: _ClassVar[int]
    wait: WaitStep
    until: UntilStep
    listen: ListenStep
    choose: ChooseStep
    split: SplitStep
    send: SendStep
    task: TaskStep
    put: PutStep
    join: JoinStep
    drop: DropStep
    start: StartStep
    close: CloseStep
    void: VoidStep
    repeat: RepeatStep
    exit: ExitStep
    def __init__(self, wait: _Optional[_Union[WaitStep, _Mapping]] = ..., until: _Optional[_Union[UntilStep, _Mapping]] = ..., listen: _Optional[_Union[ListenStep, _Mapping]] = ..., choose: _Optional[_Union[ChooseStep, _Mapping]] = ..., split: _Optional[_Union[SplitStep, _Mapping]] = ..., send: _Optional[_Union[SendStep, _Mapping]] = ..., task: _Optional[_Union[TaskStep, _Mapping]] = ..., put: _Optional[_Union[PutStep, _Mapping]] = ..., join: _Optional[_Union[JoinStep, _Mapping]] = ..., drop: _Optional[_Union[DropStep, _Mapping]] = ..., start: _Optional[_Union[StartStep, _Mapping]] = ..., close: _Optional[_Union[CloseStep, _Mapping]] = ..., void: _Optional[_Union[VoidStep, _Mapping]] = ..., repeat: _Optional[_Union[RepeatStep, _Mapping]] = ..., exit: _Optional[_Union[ExitStep, _Mapping]] = ...) -> None: ...

class JourneyCap(_message.Message):
    __slots__ = ("at_most", "in_us")
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    IN_US_FIELD_NUMBER: _ClassVar[int]
    at_most: int
    in_us: int
    def __init__(self, at_most: _Optional[int] = ..., in_us: _Optional[int] = ...) -> None: ...

class RegretPolicy(_message.Message):
    __slots__ = ("unwanted",)
    UNWANTED_FIELD_NUMBER: _ClassVar[int]
    unwanted: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    def __init__(self, unwanted: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ...) -> None: ...

class Journey(_message.Message):
    __slots__ = ("journey_id", "entry", "steps", "title", "purpose", "priority", "goals", "leaves", "caps", "on_goal", "regret", "people_inside", "moved_to", "version", "retired")
    class MovedToEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOURNEY_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    GOALS_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    CAPS_FIELD_NUMBER: _ClassVar[int]
    ON_GOAL_FIELD_NUMBER: _ClassVar[int]
    REGRET_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_INSIDE_FIELD_NUMBER: _ClassVar[int]
    MOVED_TO_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FIELD_NUMBER: _ClassVar[int]
    journey_id: str
    entry: JourneyEntry
    steps: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    title: str
    purpose: str
    priority: int
    goals: _containers.RepeatedCompositeFieldContainer[ListenTrigger]
    leaves: _containers.RepeatedCompositeFieldContainer[ListenTrigger]
    caps: _containers.RepeatedCompositeFieldContainer[JourneyCap]
    on_goal: _containers.RepeatedCompositeFieldContainer[JourneyStep]
    regret: RegretPolicy
    people_inside: PeopleInside
    moved_to: _containers.ScalarMap[str, str]
    version: int
    retired: bool
    def __init__(self, journey_id: _Optional[str] = ..., entry: _Optional[_Union[JourneyEntry, _Mapping]] = ..., steps: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ..., title: _Optional[str] = ..., purpose: _Optional[str] = ..., priority: _Optional[int] = ..., goals: _Optional[_Iterable[_Union[ListenTrigger, _Mapping]]] = ..., leaves: _Optional[_Iterable[_Union[ListenTrigger, _Mapping]]] = ..., caps: _Optional[_Iterable[_Union[JourneyCap, _Mapping]]] = ..., on_goal: _Optional[_Iterable[_Union[JourneyStep, _Mapping]]] = ..., regret: _Optional[_Union[RegretPolicy, _Mapping]] = ..., people_inside: _Optional[_Union[PeopleInside, str]] = ..., moved_to: _Optional[_Mapping[str, str]] = ..., version: _Optional[int] = ..., retired: _Optional[bool] = ...) -> None: ...
