"""Names of people in a form in which they can be compared. Pure: a text in, a value out.

Chinese names are put into simplified characters and told apart into surname and given name; their
sound is pinyin without tones, which is also what a name in Latin letters is. A Latin name that
reads as pinyin loses its order, as `Wei Zhang` and `Zhang Wei` are one name. Romanisations other
than pinyin are names of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

#: Surnames, most frequent first; what sounds like one of them may be a surname in pinyin.
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈"
    "钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向汤温康施文"
    "牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷曲盛冉"
    "翁蓝路游辛靳欧管柴蒙鲍华喻祁蒲房滕屈饶解牟艾尤时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米"
    "柏宗瞿桂全佟应臧闵苟邬边卞姬邝仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邰"
)
_COMPOUND_TOLD = """
    欧阳 上官 司马 诸葛 司徒 东方 独孤 南宫 夏侯 皇甫 尉迟 公孙 慕容 长孙 宇文 令狐 轩辕 端木 百里
    呼延 西门 公羊 濮阳 太史
"""
_COMPOUND = tuple(_COMPOUND_TOLD.split())
#: Characters that sound otherwise where they are surnames.
_SURNAME_SOUNDS_TOLD = """
    单/shan4 曾/zeng1 仇/qiu2 解/xie4 查/zha1 翟/zhai2 尉迟/yu4+chi2 朴/piao2 区/ou1 盖/ge3
    任/ren2 覃/qin2 缪/miao4 华/hua4 纪/ji3 燕/yan1 种/chong2 乐/yue4 冼/xian3 佘/she2
    长孙/zhang3+sun1 万/wan4 葛/ge3 沈/shen3
"""
_SURNAME_SOUNDS = {
    family: tuple(sounds.split("+"))
    for family, _, sounds in (entry.partition("/") for entry in _SURNAME_SOUNDS_TOLD.split())
}
_TITLES_HAN = re.compile(r"(先生|女士|小姐|太太|老师|同学|经理)$")
_TITLES = frozenset(["mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam", "jr", "sr"])
#: Short forms, and what they are short for.
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
_HAN = re.compile(r"[\u3400-\u9fff]")
_NOT_HAN = re.compile(r"[^\u3400-\u9fff]+")
_WORDS = re.compile(r"[^\W\d_]+")
_SYLLABLE = re.compile(
    r"(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])"
    r"(?:iang|iong|uang|ueng|ang|eng|ing|ong|iao|ian|uai|uan|van|"
    r"ai|ei|ao|ou|an|en|in|un|vn|ia|ie|iu|ua|uo|ui|ue|ve|er|a|o|e|i|u|v)"
    # What begins with i, u or v is written with y or w where nothing stands before it.
    r"|(?:ang|eng|ai|ei|ao|ou|an|en|er|a|o|e)"
)
_ACCENTS_KEPT = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d"})


@dataclass(frozen=True, slots=True)
class Name:
    """A name, taken apart. Empty where it does not tell."""

    #: The whole name in simplified characters; empty for a name in Latin letters.
    han: str
    #: Lower case, without accents or tones.
    surname: str
    given: str
    #: The given name in full, where it is a short form; else the given name.
    formal: str
    #: Its syllables in pinyin, or else its two parts, in the order of the alphabet: one text for
    #: every order and spacing of one name. Empty where a part is missing.
    sound: str
    #: The sound with tones, for names in characters.
    toned: str


NOBODY = Name("", "", "", "", "", "")


def name_of(whole: str = "", surname: str = "", given: str = "") -> Name:
    """The name out of a whole text, or out of its parts where these are told."""
    told = f"{surname}{given}" if _HAN.search(surname + given) else ""
    if told or _HAN.search(whole):
        return _chinese(told or whole)
    if surname or given:
        return _latin(_words(surname), _words(given))
    family, comma, first = whole.partition(",")
    if comma:
        return _latin(_words(family), _words(first))
    return _unordered(_words(whole))


def simplified(text: str) -> str:
    """The text in simplified characters."""
    return str(_converter().convert(unicodedata.normalize("NFKC", text)))


def _chinese(text: str) -> Name:
    # One by one: in a name, neighbours are no phrase (沈靜 is no 沉静).
    han = _TITLES_HAN.sub("", _NOT_HAN.sub("", "".join(map(simplified, text))))
    at = 2 if han[:2] in _COMPOUND and len(han) > 2 else 1
    family, own = han[:at], han[at:]
    toned = [*_sounds(family, _SURNAME_SOUNDS.get(family, ())), *_sounds(own)]
    plain = [syllable.rstrip("12345") for syllable in toned]
    surname, given = "".join(plain[:at]), "".join(plain[at:])
    if not given:
        return Name("", surname, "", "", "", "")
    return Name(han, surname, given, given, _sound(surname, given), " ".join(toned))


def _sounds(characters: str, known: Sequence[str] = ()) -> Sequence[str]:
    if known:
        return known
    from pypinyin import Style, lazy_pinyin

    return [s.replace("ü", "v") for s in lazy_pinyin(characters, style=Style.TONE3)]


def _latin(family: Sequence[str], own: Sequence[str]) -> Name:
    """A name whose parts are told."""
    surname, given = "".join(family), "".join(own)
    if not surname or not given:
        return Name("", surname, given, _formal(given), "", "") if surname + given else NOBODY
    if _is_pinyin(surname, given):
        return Name("", surname, given, given, _sound(surname, given), "")
    given = own[0]
    return Name("", surname, given, _formal(given), " ".join(sorted((surname, given))), "")


def _unordered(words: Sequence[str]) -> Name:
    """A name in Latin letters whose order is not told."""
    if not words:
        return NOBODY
    if len(words) == 1:
        return _run_together(words[0])
    for family, own in ((words[:1], words[1:]), (words[-1:], words[:-1])):
        if _is_pinyin(family[0], "".join(own)):
            return _latin(family, own)
    return _latin(words[1:] if len(words[0]) == 1 else words[-1:], words[:1])


def _run_together(word: str) -> Name:
    """`zhangwei`: a surname, and the rest of it; else a surname alone."""
    for at in range(min(9, len(word) - 1), 1, -1):
        if _is_pinyin(word[:at], word[at:]):
            return _latin([word[:at]], [word[at:]])
    return Name("", word, "", "", "", "")


def _is_pinyin(surname: str, given: str) -> bool:
    return surname in _surname_sounds() and 0 < len(_syllables(given)) <= 3


def _sound(surname: str, given: str) -> str:
    """The syllables of a name in the order of the alphabet.

    Letters that run together can be parted in several ways (`nana` is na na, or nan a). So names in
    characters are run together too, and all are parted in the same one.
    """
    return " ".join(sorted(s for part in (surname, given) for s in _syllables(part) or (part,)))


@cache
def _syllables(word: str) -> tuple[str, ...]:
    """The syllables of a word in pinyin, the longest first; none where it is no pinyin."""
    if not word:
        return ()
    for end in range(min(6, len(word)), 0, -1):
        if _SYLLABLE.fullmatch(word[:end]):
            if end == len(word):
                return (word,)
            if rest := _syllables(word[end:]):
                return (word[:end], *rest)
    return ()


@cache
def _surname_sounds() -> frozenset[str]:
    told = (*_SURNAMES, *_COMPOUND)
    sounds = (_sounds(family, _SURNAME_SOUNDS.get(family, ())) for family in told)
    return frozenset("".join(s.rstrip("12345") for s in found) for found in sounds)


def _words(text: str) -> list[str]:
    shaped = unicodedata.normalize("NFKD", text.casefold().translate(_ACCENTS_KEPT))
    bare = "".join(c for c in shaped if not unicodedata.combining(c))
    joined = re.sub(r"['’`.-]", lambda m: " " if m[0] == "." else "", bare)
    return [w.replace("lyu", "lv") for w in _WORDS.findall(joined) if w not in _TITLES]


def _formal(given: str) -> str:
    return _SHORT.get(given, given)


@cache
def _converter() -> Any:
    from opencc import OpenCC

    return OpenCC("t2s")
