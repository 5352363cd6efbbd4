"""Standardises currencies to the codes of ISO 4217."""

from __future__ import annotations

from typing import Final

from services.kernel.cleaning.text import plain_text
from services.kernel.rules.values import Json

#: Longer texts are no currencies.
MAX_LENGTH: Final = 40
_CODES: Final = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR
MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
#: The codes of currencies that are in use; precious metals, funds and tests are none.
CODES: Final = frozenset(_CODES.split())
#: Signs and names. ¥ and 元 are those of China, and $ is that of the United States.
_SPELLINGS: Final = {
    **dict.fromkeys(("¥", "元", "人民币", "人民币元", "RMB", "CN¥", "RMB¥", "YUAN"), "CNY"),
    **dict.fromkeys(("$", "US$", "U$", "美元", "美金"), "USD"),
    **dict.fromkeys(("€", "欧元", "EURO"), "EUR"),
    **dict.fromkeys(("£", "英镑"), "GBP"),
    **dict.fromkeys(("JP¥", "日元", "日圆", "円"), "JPY"),
    **dict.fromkeys(("HK$", "港元", "港币"), "HKD"),
    **dict.fromkeys(("MOP$", "澳门元", "澳门币"), "MOP"),
    **dict.fromkeys(("NT$", "新台币", "台币"), "TWD"),
    **dict.fromkeys(("S$", "新加坡元", "新币"), "SGD"),
    **dict.fromkeys(("A$", "AU$", "澳元"), "AUD"),
    **dict.fromkeys(("C$", "CA$", "加元"), "CAD"),
    **dict.fromkeys(("₩", "韩元", "韩币"), "KRW"),
    **dict.fromkeys(("฿", "泰铢"), "THB"),
    **dict.fromkeys(("₹", "卢比"), "INR"),
    **dict.fromkeys(("₽", "卢布"), "RUB"),
    **dict.fromkeys(("₫", "越南盾"), "VND"),
    "₱": "PHP",
    "R$": "BRL",
    "瑞士法郎": "CHF",
}


def clean_currency(value: Json) -> str | None:
    """Return the ISO 4217 code that a value is, or None: CNY for `¥`, `人民币` and `cny`."""
    if not isinstance(value, str) or len(value) > MAX_LENGTH:
        return None
    text = plain_text(value).upper()
    return text if text in CODES else _SPELLINGS.get(text)
