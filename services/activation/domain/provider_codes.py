"""Says what the codes of providers mean: those of an answer, and those of a receipt."""

from __future__ import annotations

from dataclasses import dataclass

from services.activation.domain.transitions import AttemptResult, AttemptStatus


@dataclass(frozen=True)
class Codes:
    """The codes of a provider by what they mean; a code that ends with `*` stands for a prefix."""

    later: str = ""
    address_dead: str = ""
    credentials: str = ""
    refused: str = ""
    #: The provider itself does not know whether it has sent the message.
    lost: str = ""
    #: Seconds to wait where the provider limits how often it is called.
    later_s: float = 60.0

    def status_of(self, code: str) -> AttemptStatus | None:
        """Return what a code means; None = it is not listed."""
        listed = {
            AttemptStatus.FAILED: self.later,
            AttemptStatus.ADDRESS_DEAD: self.address_dead,
            AttemptStatus.CREDENTIALS: self.credentials,
            AttemptStatus.REJECTED: self.refused,
            AttemptStatus.LOST: self.lost,
        }
        names = {name: status for status, text in listed.items() for name in text.split()}
        if code in names:
            return names[code]
        prefixes = [n for n in names if n.endswith("*") and code.startswith(n[:-1])]
        return names[max(prefixes, key=len)] if prefixes else None

    def result_of(self, code: str) -> AttemptResult:
        """Return the result of a code with which a message was not accepted."""
        status = self.status_of(code) or AttemptStatus.REJECTED
        later_s = self.later_s if status is AttemptStatus.FAILED else 0.0
        return AttemptResult(status, code[:100], later_s)

    def is_dead_address(self, code: str) -> bool:
        """Return whether a code says that no message arrives at the address."""
        return self.status_of(code) is AttemptStatus.ADDRESS_DEAD


#: The codes of Twilio for messages: `code` of an answer, `ErrorCode` of a status callback.
TWILIO_CODES = Codes(
    # Rates, full queues, caps of a day, maintenance, and a number that is still being set up.
    later="14107 20429 20503 21611 21702 21730 30001 30017 30020 30021 30022 30023 30027 30035"
    " 63017 63018 63038",
    # The number is wrong, unknown, a landline or of another kind that takes no messages, or its
    # owner has answered STOP. A phone that is switched off (30003), or that no sender of the
    # account can reach (21612, 21703), may get a later message.
    address_dead="21211 21214 21217 21265 21268 21610 21614 21635 30005 30006",
    # The account, its login, its sender or the URL for receipts: no message can be sent with them.
    credentials="10001 10002 20003 20005 20006 20008 20010 20011 20012 2010* 2015* 20160 20403"
    " 20404 20410 20423 20426 21210 21212 21213 21264 21267 21601 21603 21606 21607 21609 21616"
    " 21657 21659 21660 21661 21701 21704 21705 21709 30002 30028 30032 30033 30034",
    refused="20001 20002 20004 20007 20009 20020 20023 2016* 20409 20413 20422 21215 21218 21219"
    " 21266 21401 21407 21408 21421 21602 21604 21605 21608 21612 21617 21618 21619 21620 21621"
    " 21622 21623 21624 21626 21627 21652 21653 21654 21655 21656 21658 21703 30003 30004 30007"
    " 30008 30009 30010 30011 30012 30013 30014 30015 30016 30018 30019 30024 30029 30030 30031"
    " 30036 30038 30042 30044 30101 30102 30103 30106 30107 30110 30111 30400 30404 30409 30450"
    " 30453",
    # Twilio has failed, and does not send again as it may have sent.
    lost="20500 30410",
)
