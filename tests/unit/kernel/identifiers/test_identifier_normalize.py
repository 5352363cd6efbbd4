"""Identifiers have one canonical form, placeholders have none, and the forms obey laws."""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from importlib.metadata import version
from random import Random

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from services.kernel.identifiers.model import MAX_VALUE, Identifier, validation_error
from services.kernel.identifiers.normalize import (
    NORMALIZATION_VERSION,
    account_of,
    expected_format,
    normalize,
)
from services.kernel.identifiers.phones import _parse, is_region, phone
from services.kernel.identifiers.priority import DEVICE_NAMESPACES, PRIORITY, account_leaf
from tests.index_key import INDEX_KEY

UUID = "3f2b8a10-9c4d-4e6f-8a7b-1c2d3e4f5a6b"
OTHERS = (
    "account_id",
    "account_domain",
    "wechat_openid",
    "wechat_openid.wx5f1a",
    "email_sha256",
    "phone_md5",
    "crm.number",
)
NAMESPACES = (*PRIORITY, *DEVICE_NAMESPACES, *OTHERS)
#: Texts that `validation_error` accepts.
printable = st.text(max_size=40).filter(str.isprintable)
digits = st.text("0123456789", max_size=14)
#: Near misses of numbers, addresses, ids and digests, which random text rarely hits.
nearly = st.one_of(
    printable,
    st.text("0123456789+-() .;extEXT#转/*", max_size=24),
    st.builds("{}@{}".format, printable, printable),
    st.builds(
        "{}@{}.{}".format, printable, printable, st.sampled_from(["cn", "公司", "XN--55QX5D"])
    ),
    st.text("0123456789abcdefABCDEF-{}:", max_size=40),
    st.text("0123456789abcdefABCDEF", min_size=32, max_size=32),
)
regions = st.sampled_from(["CN", "US", "IT", "AR", "HK", "XX"])


def form(namespace: str, value: str, region: str = "CN") -> str | None:
    normalized = normalize(namespace, value, region)
    assert normalized is None or normalized.namespace == namespace
    return normalized.value if normalized else None


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class TestLaws:
    @given(st.sampled_from(NAMESPACES), nearly, regions)
    @examples(500)
    def test_canonical_form_normalizes_to_itself(
        self, namespace: str, value: str, region: str
    ) -> None:
        normalized = form(namespace, value, region)
        if normalized is not None:
            assert form(namespace, normalized, region) == normalized

    @pytest.mark.parametrize("namespace", ["email", "user_id"])
    def test_canonical_form_of_every_character_normalizes_to_itself(self, namespace: str) -> None:
        template = "{}@x.cn" if namespace == "email" else "{}1"
        for number in range(sys.maxunicode + 1):
            if (character := chr(number)).isprintable():
                normalized = form(namespace, template.format(character))
                assert normalized is None or form(namespace, normalized) == normalized, hex(number)

    @given(st.sampled_from(NAMESPACES), nearly, regions)
    @examples(300)
    def test_width_and_outer_spaces_do_not_change_the_form(
        self, namespace: str, value: str, region: str
    ) -> None:
        wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value)
        assert form(namespace, f"  {wide} ", region) == form(namespace, value, region)

    @given(
        st.sampled_from(["email", "account_domain", "idfa", "imei", "android_id", "email_sha256"]),
        nearly,
    )
    @examples(300)
    def test_case_does_not_change_the_form_where_it_has_no_meaning(
        self, namespace: str, value: str
    ) -> None:
        value = value.encode("ascii", "ignore").decode()
        normalized = form(namespace, value.lower())
        assert form(namespace, value.upper()) == form(namespace, value) == normalized

    @given(st.text(max_size=MAX_VALUE), st.sampled_from(NAMESPACES), regions)
    def test_normalize_with_any_valid_text_does_not_raise(
        self, value: str, namespace: str, region: str
    ) -> None:
        if validation_error(namespace, value) is None:
            form(namespace, value, region)

    @pytest.mark.parametrize(
        "value", ["xn--", "x@xn--", "x@xn--a.cn", "x@\u00ad.cn", "@", "+", "+86", ";ext=1"]
    )
    @pytest.mark.parametrize("namespace", NAMESPACES)
    def test_normalize_with_odd_values_does_not_raise(self, namespace: str, value: str) -> None:
        form(namespace, value)

    def test_normalization_version_matches_the_releases_of_its_libraries(self) -> None:
        """Another release parses some values differently: increase the version, and rebuild."""
        releases = {3: ("9.0.42", "3")}
        found = version("phonenumberslite"), version("idna").partition(".")[0]
        assert found == releases[NORMALIZATION_VERSION]


class TestPhone:
    @pytest.mark.parametrize(
        "value",
        [
            *("+86 138-0000-0000", "138 0000 0000", "0086 138 0000 0000", "13800000000"),
            *("+8613800000000", "8613800000000", "(+86) 138.0000.0000", "tel:+86-138-0000-0000"),
            *(
                "＋８６ １３８００００００００",
                "138–0000–0000",
                "+86 (138) 0000 0000",
                "0 138 0000 0000",
            ),
        ],
    )
    def test_spellings_of_a_number_have_one_form(self, value: str) -> None:
        assert form("phone", value) == "+8613800000000"

    @pytest.mark.parametrize(
        "value",
        [
            *("", "0", "138", "1380000000", "138000000000", "23800000000", "+86 12345678901"),
            *("138****0000", "13800000000 / 13900000000", "call 13800000000", "13800000000x"),
            *("+", "++8613800000000", "10086", "13800138000", "+86 138 0013 8000", "1-800-FLOWERS"),
            *("+999 1234567", "00000000000", "13800000000@qq.com", "一三八"),
        ],
    )
    def test_value_that_is_no_number_has_no_form(self, value: str) -> None:
        assert form("phone", value) is None

    @pytest.mark.parametrize(
        ("value", "region", "expected"),
        [
            ("(650) 253-0000", "US", "+16502530000"),
            ("(650) 253-0000", "CN", None),
            ("650 253 0000", "XX", None),
            ("+1 650 253 0000", "XX", "+16502530000"),
            ("13800000000", "US", None),
            ("+86 138 0000 0000", "US", "+8613800000000"),
            ("010-6552 9988", "CN", "+861065529988"),
            ("02 3661 8300", "IT", "+390236618300"),
            ("5123 4567", "HK", "+85251234567"),
        ],
    )
    def test_number_without_country_code_is_dialled_in_the_region(
        self, value: str, region: str, expected: str | None
    ) -> None:
        assert form("phone", value, region) == expected

    @pytest.mark.parametrize(
        "value",
        ["010-65529988转12", "(010) 6552 9988 ext. 12", "+861065529988;ext=12", "01065529988x12"],
    )
    def test_extension_is_part_of_the_form(self, value: str) -> None:
        assert form("phone", value) == "+861065529988;ext=12"

    @given(
        st.sampled_from(["", "+86", "86", "086"]),
        st.text("0123456789", min_size=9, max_size=11),
        st.randoms(use_true_random=False),
    )
    @examples(1_000)
    def test_fast_path_for_chinese_mobiles_equals_the_library(
        self, code: str, rest: str, chance: Random
    ) -> None:
        for value in (f"{code}1{rest}", f"{code}13{rest[1:]}"):
            signs = "".join(
                chance.choice(["", "", " ", "-", ".", "(", ")", "/"]) + c for c in value
            )
            for written in (value, signs):
                assert phone.__wrapped__(written, "CN") == _parse(written, "CN")

    @pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
    def test_example_numbers_of_every_region_have_a_form(self, region: str) -> None:
        for kind in phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE:
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            for style in range(4):  # E164, INTERNATIONAL, NATIONAL, RFC3966
                written = phonenumbers.format_number(number, style)
                normalized = form("phone", written, region)
                assert normalized is not None
                assert form("phone", normalized, "CN") == normalized

    def test_is_region_accepts_regions_with_a_numbering_plan(self) -> None:
        assert is_region("CN")
        assert not any(map(is_region, ["cn", "", "XX", "CHN", "86"]))


class TestEmail:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (" Li@Example.CN ", "li@example.cn"),
            ("ｌｉ＠ｅｘａｍｐｌｅ．ｃｎ", "li@example.cn"),
            ("li+shop@gmail.com", "li+shop@gmail.com"),
            ("l.i@gmail.com", "l.i@gmail.com"),
            ("李雷@例子.公司", "李雷@xn--fsqu00a.xn--55qx5d"),
            ("李雷@XN--FSQU00A.xn--55qx5d", "李雷@xn--fsqu00a.xn--55qx5d"),
            ("li@BÜCHER.example", "li@xn--bcher-kva.example"),
            ("o'neill@example.ie", "o'neill@example.ie"),
        ],
    )
    def test_spellings_of_an_address_have_one_form(self, value: str, expected: str) -> None:
        assert form("email", value) == expected

    @pytest.mark.parametrize(
        "value",
        [
            *("", "li", "@example.cn", "li@", "li@@example.cn", "a@b@example.cn", "li@localhost"),
            *("li@example..cn", "li@-example.cn", "li@.cn", "li@example.cn.", "li@1.2.3.4"),
            *("li lei@example.cn", "Li <li@example.cn>", "a@x.cn,b@x.cn", "mailto:li@example.cn"),
            *(
                f"{'x' * 65}@example.cn",
                f"li@{'x' * 64}.cn",
                f"li@{'x.' * 127}cn",
                "li@exa_mple.cn",
            ),
        ],
    )
    def test_value_that_is_no_address_has_no_form(self, value: str) -> None:
        assert form("email", value) is None

    @pytest.mark.parametrize(
        "value",
        [
            *("test@test.com", "TEST@test.com.cn", "a@a.com", "null@example.cn", "noreply@shop.cn"),
            *("l***@example.cn", "deleted-17@users.invalid"),
        ],
    )
    def test_placeholder_address_has_no_form(self, value: str) -> None:
        assert form("email", value) is None


class TestDevices:
    @pytest.mark.parametrize("namespace", ["idfa", "idfv", "gaid", "oaid", "device_id"])
    @pytest.mark.parametrize("notation", [UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}"])
    def test_notations_of_a_uuid_have_one_form(self, namespace: str, notation: str) -> None:
        assert form(namespace, notation) == UUID

    @pytest.mark.parametrize("namespace", ["idfa", "idfv", "gaid"])
    @pytest.mark.parametrize("value", [UUID[:-1], f"{UUID}0", "iPhone", UUID.replace("a", "g")])
    def test_value_that_is_no_uuid_has_no_form(self, namespace: str, value: str) -> None:
        assert form(namespace, value) is None

    @pytest.mark.parametrize("namespace", DEVICE_NAMESPACES)
    @pytest.mark.parametrize(
        "value", ["0", "00000000-0000-0000-0000-000000000000", "0" * 15, "null"]
    )
    def test_id_of_zeros_has_no_form(self, namespace: str, value: str) -> None:
        assert form(namespace, value) is None

    @pytest.mark.parametrize(
        ("namespace", "value"),
        [
            ("android_id", "9774d56d682e549c"),
            ("imei", "004999010640000"),
            ("idfa", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            ("gaid", "00000000-0000-0000-0000-000000000001"),
            ("device_id", "02:00:00:00:00:00"),
            ("device_id", "12345678-1234-1234-1234-123456789012"),
        ],
    )
    def test_id_shared_by_many_devices_has_no_form(self, namespace: str, value: str) -> None:
        assert form(namespace, value) is None

    def test_imei_needs_a_valid_check_digit(self) -> None:
        for value in ("490154203237518", "49-015420-323751-8", "49 015420 323751 8"):
            assert form("imei", value) == "490154203237518"
        for value in ("490154203237519", "49015420323751", "4901542032375180", "49015420323751x"):
            assert form("imei", value) is None

    def test_android_id_gets_its_leading_zeros_back(self) -> None:
        assert form("android_id", "A1B2C3D4E5F60718") == "a1b2c3d4e5f60718"
        assert form("android_id", "a1b2c3d4e5f607") == "00a1b2c3d4e5f607"
        assert form("android_id", "a1b2") is None

    def test_free_device_id_preserves_case_unless_it_is_hexadecimal(self) -> None:
        assert form("device_id", "Till-7b") == "Till-7b"
        assert form("device_id", "D12") == "D12"
        assert form("oaid", "ABCDEF0123456789") == "abcdef0123456789"


class TestDigests:
    @pytest.mark.parametrize(
        ("namespace", "value"),
        [
            ("email_sha256", sha256("li@example.cn")),
            ("phone_md5", md5("13800000000")),
            ("imei_md5", md5("490154203237518")),
            ("card_sha1", hashlib.sha1(b"7", usedforsecurity=False).hexdigest()),
        ],
    )
    def test_digest_is_lower_case_of_its_length(self, namespace: str, value: str) -> None:
        assert form(namespace, f" {value.upper()} ") == value
        assert form(namespace, value[:-1]) is None
        assert form(namespace, f"{value[:-1]}g") is None

    @pytest.mark.parametrize(
        "text", ["", " ", "null", "NULL", "None", "undefined", "0", "00000000000", "0" * 15]
    )
    def test_digest_of_a_placeholder_has_no_form(self, text: str) -> None:
        assert form("email_sha256", sha256(text)) is None
        assert form("phone_md5", md5(text)) is None

    def test_digest_of_equal_digits_has_no_form(self) -> None:
        assert form("phone_md5", "0" * 32) is None
        assert form("phone_sha256", "f" * 64) is None


class TestOthers:
    @pytest.mark.parametrize(
        "namespace", ["user_id", "anonymous_id", "member_id", "cookie", "crm.no"]
    )
    def test_case_and_signs_of_a_user_id_are_preserved(self, namespace: str) -> None:
        assert form(namespace, " Ｎo. Ab-1 ") == "No. Ab-1"

    def test_openids_of_two_apps_are_different_identifiers(self) -> None:
        value = "oABC_def-123"
        named = {normalize(n, value, "CN") for n in ("wechat_openid.wx1", "wechat_openid.wx2")}
        assert len(named) == 2

    @pytest.mark.parametrize(
        "value",
        [
            *(
                "null",
                "NULL",
                "（null）",
                "None",
                "undefined",
                "0000",
                "0-0",
                "N/A",
                "anonymous",
                "未知",
            ),
            *("{{user_id}}", "${uid}", "%uid%", "<id>", "[object Object]", "__OAID__", "ab**cd"),
        ],
    )
    @pytest.mark.parametrize("namespace", ["user_id", "anonymous_id", "wechat_unionid", "crm"])
    def test_placeholder_has_no_form(self, namespace: str, value: str) -> None:
        assert form(namespace, value) is None

    @pytest.mark.parametrize("value", ["007", "0x1", "_id_7", "nullable", "{", "a*b", "100%"])
    def test_value_that_resembles_a_placeholder_has_a_form(self, value: str) -> None:
        assert form("user_id", value) == value

    def test_expected_format_describes_each_namespace(self) -> None:
        texts = {namespace: expected_format(namespace, "US") for namespace in NAMESPACES}
        assert "dialled in US" in texts["phone"]
        assert len(set(texts.values())) == 7
        assert all(unicodedata.is_normalized("NFKC", text) for text in texts.values())


class TestAccounts:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("Acme.CN", "acme.cn"),
            (" www.acme.cn ", "www.acme.cn"),
            ("例子.公司", "xn--fsqu00a.xn--55qx5d"),
            ("acme", None),
            ("https://acme.example/", None),
            ("acme.invalid", None),
        ],
    )
    def test_domain_normalizes_to_its_canonical_form(
        self, value: str, expected: str | None
    ) -> None:
        assert form("account_domain", value) == expected

    def test_group_id_has_one_form_in_every_region(self) -> None:
        for region in ("CN", "US"):
            assert normalize("account_id", " ａcme ", region) == account_of("acme")
        assert account_leaf("w", "acme", INDEX_KEY) == Identifier("account_id", "acme").id_in(
            "w", INDEX_KEY
        )
        assert account_leaf("w", "null", INDEX_KEY) is account_leaf("w", "a\0", INDEX_KEY) is None
