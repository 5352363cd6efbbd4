"""Normalises names of persons for comparison. Pure.

Chinese names are converted to simplified characters and split into surname and given name. Their
sound is pinyin without tones, so it is comparable with a name in Latin letters. The order of a
Latin name in pinyin is ignored, as `Wei Zhang` and `Zhang Wei` are one name. Romanisations other
than pinyin are different names.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

#: Surnames, most frequent first; a word with the sound of one may be a surname in pinyin.
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈"
    "钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向汤温康施文"
    "牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷曲盛冉"
    "翁蓝路游辛靳欧管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米"
    "柏宗瞿桂全佟应臧闵苟邬边卞姬邝仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邰"
)
_COMPOUND_TEXT = """
    欧阳 上官 司马 诸葛 司徒 东方 独孤 南宫 夏侯 皇甫 尉迟 公孙 慕容 长孙 宇文 令狐 轩辕 端木 百里
    呼延 西门 公羊 濮阳 太史
"""
_COMPOUND = tuple(_COMPOUND_TEXT.split())
#: Characters that have another sound as surnames.
_SURNAME_SOUNDS_TEXT = """
    单/shan4 曾/zeng1 仇/qiu2 解/xie4 查/zha1 翟/zhai2 尉迟/yu4+chi2 朴/piao2 区/ou1 盖/ge3
    任/ren2 覃/qin2 缪/miao4 华/hua4 纪/ji3 燕/yan1 种/chong2 乐/yue4 冼/xian3 佘/she2
    长孙/zhang3+sun1 万/wan4 葛/ge3 沈/shen3
"""
_SURNAME_SOUNDS = {
    family: tuple(sounds.split("+"))
    for family, _, sounds in (entry.partition("/") for entry in _SURNAME_SOUNDS_TEXT.split())
}
_TITLES_HAN = re.compile(r"(先生|女士|小姐|太太|老师|同学|经理)$")
_TITLES = frozenset(["mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam", "jr", "sr"])
#: Short forms and the full names.
_SHORT_FORMS = """
    bill/william billy/william will/william liam/william bob/robert rob/robert bobby/robert
    liz/elizabeth beth/elizabeth betty/elizabeth eliza/elizabeth kate/katherine kathy/katherine
    katie/katherine catherine/katherine jim/james jimmy/james jamie/james mike/michael
    mick/michael rick/richard dick/richard rich/richard tom/thomas tommy/thomas maggie/margaret
    meg/margaret peggy/margaret jen/jennifer jenny/jennifer chris/christopher kit/christopher
    dan/daniel danny/daniel matt/matthew tony/anthony nick/nicholas sam/samuel sammy/samuel
    ben/benjamin alex/alexander sandy/alexander vicky/victoria tori/victoria becky/rebecca
    sue/susan susie/susan dave/david andy/andrew drew/andrew joe/joseph joey/joseph ed/edward
    eddie/edward ted/edward ned/edward charlie/charles chuck/charles steve/stephen steven/stephen
    phil/philip greg/gregory jeff/jeffrey tim/timothy pat/patricia pam/pamela debbie/deborah
    barb/barbara cindy/cynthia fred/frederick frank/francis hank/henry harry/henry jack/john
    johnny/john jon/jonathan josh/joshua ken/kenneth larry/lawrence leo/leonard pete/peter
    ron/ronald terry/terence zach/zachary abby/abigail mandy/amanda nikki/nicole steph/stephanie
"""
_SHORT = dict(pair.split("/") for pair in _SHORT_FORMS.split())
HAN = re.compile(r"[\u3400-\u9fff]")
_WORDS = re.compile(r"[^\W\d_]+")
_SYLLABLE = re.compile(
    r"(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])"
    r"(?:iang|iong|uang|ueng|ang|eng|ing|ong|iao|ian|uai|uan|van|"
    r"ai|ei|ao|ou|an|en|in|un|vn|ia|ie|iu|ua|uo|ui|ue|ve|er|a|o|e|i|u|v)"
    # Without an initial, finals that begin with i, u or v are written with y or w.
    r"|(?:ang|eng|ai|ei|ao|ou|an|en|er|a|o|e)"
)
_UNDECOMPOSABLE = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d"})


@dataclass(frozen=True, slots=True)
class PersonName:
    """A parsed name; a part is empty if the text does not have it."""

    #: The whole name in simplified characters; empty for a name in Latin letters.
    han: str = ""
    #: Lower case, without accents or tones.
    surname: str = ""
    given: str = ""
    #: The full name of a short given name; else the given name.
    formal: str = ""
    #: The syllables in pinyin, or else the two parts, in alphabetical order: one text for every
    #: order and spacing of a name. Empty if a part is missing.
    sound: str = ""
    #: The sound with tones, for names in Chinese characters.
    toned: str = ""


def parse_name(whole: str = "", surname: str = "", given: str = "") -> PersonName:
    """Parse a name from a whole text, or from its parts if they are given."""
    parts = f"{surname}{given}" if HAN.search(surname + given) else ""
    if parts or HAN.search(whole):
        return _chinese(parts or whole)
    if surname or given:
        return _latin(_words(surname), _words(given))
    family, comma, first = whole.partition(",")
    if comma:
        return _latin(_words(family), _words(first))
    return _unordered(_words(whole))


def to_simplified(text: str) -> str:
    """Return a text in simplified characters."""
    return str(_converter().convert(unicodedata.normalize("NFKC", text)))


def _chinese(text: str) -> PersonName:
    # One by one: the characters of a name are no phrase (沈靜 is not 沉静).
    han = _TITLES_HAN.sub("", "".join(HAN.findall("".join(map(to_simplified, text)))))
    split = 2 if han[:2] in _COMPOUND and len(han) > 2 else 1
    family, own = han[:split], han[split:]
    toned = [*_sounds(family, _SURNAME_SOUNDS.get(family, ())), *_sounds(own)]
    plain = [syllable.rstrip("12345") for syllable in toned]
    surname, given = "".join(plain[:split]), "".join(plain[split:])
    if not given:
        return PersonName(surname=surname)
    return PersonName(han, surname, given, given, _sound(surname, given), " ".join(toned))


def _sounds(characters: str, fixed: Sequence[str] = ()) -> Sequence[str]:
    if fixed:
        return fixed
    from pypinyin import Style, lazy_pinyin

    return [s.replace("ü", "v") for s in lazy_pinyin(characters, style=Style.TONE3)]


def _latin(family: Sequence[str], own: Sequence[str]) -> PersonName:
    """Return a name in Latin letters with known parts."""
    surname, given = "".join(family), "".join(own)
    if not surname or not given:
        return PersonName("", surname, given, _SHORT.get(given, given))
    if _is_pinyin(surname, given):
        return PersonName("", surname, given, given, _sound(surname, given))
    given = own[0]
    sound = " ".join(sorted((surname, given)))
    return PersonName("", surname, given, _SHORT.get(given, given), sound)


def _unordered(words: Sequence[str]) -> PersonName:
    """Return a name in Latin letters whose order is unknown."""
    if not words:
        return PersonName()
    if len(words) == 1:
        return _run_together(words[0])
    for family, own in ((words[:1], words[1:]), (words[-1:], words[:-1])):
        if _is_pinyin(family[0], "".join(own)):
            return _latin(family, own)
    return _latin(words[1:] if len(words[0]) == 1 else words[-1:], words[:1])


def _run_together(word: str) -> PersonName:
    """Split a name such as `zhangwei`; a word that is no such name is a surname."""
    for split in range(min(9, len(word) - 1), 1, -1):
        if _is_pinyin(word[:split], word[split:]):
            return _latin([word[:split]], [word[split:]])
    return PersonName(surname=word)


def _is_pinyin(surname: str, given: str) -> bool:
    return surname in _surname_sounds() and 0 < len(_syllables(given)) <= 3


def _sound(surname: str, given: str) -> str:
    """Return the syllables of a name in alphabetical order.

    Joined letters can be split in several ways (`nana` is na na, or nan a). So the sounds of
    characters are joined too, and all names are split in the same way.
    """
    return " ".join(sorted(s for part in (surname, given) for s in _syllables(part) or (part,)))


@cache
def _syllables(word: str) -> tuple[str, ...]:
    """Split a word in pinyin into syllables, longest first; empty if it is not pinyin."""
    for end in range(min(6, len(word)), 0, -1):
        if _SYLLABLE.fullmatch(word[:end]):
            if end == len(word):
                return (word,)
            if rest := _syllables(word[end:]):
                return (word[:end], *rest)
    return ()


@cache
def _surname_sounds() -> frozenset[str]:
    surnames = (*_SURNAMES, *_COMPOUND)
    sounds = (_sounds(family, _SURNAME_SOUNDS.get(family, ())) for family in surnames)
    return frozenset("".join(s.rstrip("12345") for s in syllables) for syllables in sounds)


def _words(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_UNDECOMPOSABLE))
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    joined = re.sub(r"['’`.-]", lambda m: " " if m[0] == "." else "", bare)
    return [w.replace("lyu", "lv") for w in _WORDS.findall(joined) if w not in _TITLES]


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")
