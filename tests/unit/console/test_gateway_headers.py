"""Which headers of HTTP the gateway passes on to a service."""

from __future__ import annotations

import pytest

from services.chassis.access.rights import UNMASK_KEY
from services.console.gateway.errors import CallFailed
from services.console.gateway.headers import metadata_of


def test_reason_is_passed_on_as_often_as_it_is_sent_and_no_other_word_of_the_services() -> None:
    sent = [(b"Onefold-Unmask-Reason", b"a%20call")] * 2 + [(b"onefold-workspace", b"other")]
    assert metadata_of(sent, "") == [(UNMASK_KEY, "a%20call")] * 2


def test_reason_that_metadata_cannot_have_is_refused_and_not_left_out() -> None:
    with pytest.raises(CallFailed, match="percent-encode"):
        metadata_of([(UNMASK_KEY.encode(), "客户来电".encode())], "")
