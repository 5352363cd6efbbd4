"""Lists names of synthetic people: each Chinese character in both scripts with its sound, by hand.

The table is written by hand and not derived by the libraries that the tested code uses.
"""

from __future__ import annotations

from typing import NamedTuple


class Sign(NamedTuple):
    """One character, or the two of a compound surname."""

    simplified: str
    traditional: str
    sound: str


def _signs(text: str) -> tuple[Sign, ...]:
    return tuple(Sign(*entry.split("/")) for entry in text.split())


#: By falling frequency.
SURNAMES = _signs("""
    王/王/wang 李/李/li 张/張/zhang 刘/劉/liu 陈/陳/chen 杨/楊/yang 黄/黃/huang 赵/趙/zhao
    吴/吳/wu 周/周/zhou 徐/徐/xu 孙/孫/sun 马/馬/ma 朱/朱/zhu 胡/胡/hu 郭/郭/guo 何/何/he
    林/林/lin 罗/羅/luo 高/高/gao 郑/鄭/zheng 梁/梁/liang 谢/謝/xie 宋/宋/song 唐/唐/tang 许/許/xu
    韩/韓/han 邓/鄧/deng 冯/馮/feng 曹/曹/cao 彭/彭/peng 曾/曾/zeng 肖/肖/xiao 田/田/tian
    董/董/dong 潘/潘/pan 袁/袁/yuan 蔡/蔡/cai 蒋/蔣/jiang 余/余/yu 于/于/yu 杜/杜/du 叶/葉/ye
    程/程/cheng 魏/魏/wei 苏/蘇/su 吕/呂/lv 丁/丁/ding 任/任/ren 卢/盧/lu 姚/姚/yao 沈/沈/shen
    钟/鍾/zhong 姜/姜/jiang 崔/崔/cui 谭/譚/tan 陆/陸/lu 单/單/shan 仇/仇/qiu 欧阳/歐陽/ouyang
    司马/司馬/sima 上官/上官/shangguan 诸葛/諸葛/zhuge
""")
GIVEN = _signs("""
    伟/偉/wei 芳/芳/fang 娜/娜/na 敏/敏/min 静/靜/jing 丽/麗/li 强/強/qiang 磊/磊/lei 军/軍/jun
    洋/洋/yang 勇/勇/yong 艳/艷/yan 杰/傑/jie 娟/娟/juan 涛/濤/tao 明/明/ming 超/超/chao 秀/秀/xiu
    霞/霞/xia 平/平/ping 刚/剛/gang 桂/桂/gui 英/英/ying 华/華/hua 玉/玉/yu 萍/萍/ping 红/紅/hong
    玲/玲/ling 梅/梅/mei 建/建/jian 国/國/guo 文/文/wen 辉/輝/hui 志/志/zhi 鹏/鵬/peng 飞/飛/fei
    鑫/鑫/xin 波/波/bo 斌/斌/bin 宇/宇/yu 浩/浩/hao 凯/凱/kai 晨/晨/chen 子/子/zi 轩/軒/xuan
    涵/涵/han 梓/梓/zi 一/一/yi 诺/諾/nuo 欣/欣/xin 怡/怡/yi 雨/雨/yu 思/思/si 佳/佳/jia 琪/琪/qi
    雪/雪/xue 婷/婷/ting 慧/慧/hui 莉/莉/li 倩/倩/qian 云/雲/yun 龙/龍/long 晓/曉/xiao 东/東/dong
    海/海/hai 林/林/lin 俊/俊/jun 嘉/嘉/jia 泽/澤/ze 睿/睿/rui 博/博/bo 诗/詩/shi 萱/萱/xuan
    语/語/yu 桐/桐/tong 瑶/瑤/yao 炜/煒/wei 玮/瑋/wei 维/維/wei 颖/穎/ying 莹/瑩/ying 荣/榮/rong
    蓉/蓉/rong 峰/峰/feng 锋/鋒/feng 成/成/cheng 诚/誠/cheng 宁/寧/ning 凌/凌/ling 兰/蘭/lan
    岚/嵐/lan 芝/芝/zhi 春/春/chun 燕/燕/yan 青/青/qing 清/清/qing 庆/慶/qing 新/新/xin 心/心/xin
""")
#: Frequent full names, as surname and given name.
_COMMON_TEXT = """
    张/伟 王/伟 王/芳 李/伟 王/秀英 李/秀英 李/娜 张/秀英 刘/伟 张/敏 李/静
    张/丽 王/静 王/丽 李/强 张/静 李/敏 王/敏 王/磊 李/军
"""
COMMON = tuple(_COMMON_TEXT.split())
_WESTERN_SURNAMES_TEXT = """
    smith jones williams brown taylor davies evans thomas johnson roberts walker wright robinson
    thompson white hughes edwards green hall wood harris lewis martin jackson clarke clark turner
    hill scott cooper morris ward moore king watson baker harrison morgan patel young müller
    garcía lópez fernández o'brien o'connor macdonald schröder lefèvre björk nguyễn silva costa
    rossi bianchi kowalski novák ivanova petrov andersson van-den-berg
"""
_WESTERN_GIVEN_TEXT = """
    william/bill robert/bob elizabeth/liz katherine/kate james/jim michael/mike richard/rick
    thomas/tom margaret/maggie jennifer/jen christopher/chris daniel/dan matthew/matt anthony/tony
    nicholas/nick samuel/sam benjamin/ben alexander/alex victoria/vicky rebecca/becky susan/sue
    david/dave andrew/andy joseph/joe john/john mary/mary anna/anna sarah/sarah emma/emma
    olivia/olivia sophie/sophie lucy/lucy grace/grace oliver/oliver harry/harry george/george
    jack/jack josé/josé zoë/zoë chloé/chloé andré/andré sofía/sofía jürgen/jürgen maría/maría
    laura/laura peter/peter paul/paul mark/mark simon/simon helen/helen claire/claire julia/julia
"""
_TRADITIONAL_TEXT = """
    阳/陽 区/區 东/東 静/靜 云/雲 龙/龍 岗/崗 滨/濱 锦/錦 汇/匯 邺/鄴 设/設 华/華 长/長 黄/黃
    学/學 谊/誼 园/園 迎/迎 宾/賓 号/號 单/單 楼/樓
"""
_STREETS_TEXT = """
    high-street church-road victoria-road station-road park-avenue mill-lane king-street
    queen-street the-crescent green-lane london-road manor-close west-street springfield-road
"""
WESTERN_SURNAMES = tuple(_WESTERN_SURNAMES_TEXT.split())
#: A given name and its short form.
WESTERN_GIVEN = tuple(tuple(entry.split("/")) for entry in _WESTERN_GIVEN_TEXT.split())
#: City, in both forms, with its sound, then districts.
CITIES = (
    ("北京市", "北京市", "beijing", ("朝阳区", "海淀区", "东城区")),
    ("上海市", "上海市", "shanghai", ("浦东新区", "徐汇区", "静安区")),
    ("广东省广州市", "廣東省廣州市", "guangzhou", ("天河区", "越秀区", "白云区")),
    ("广东省深圳市", "廣東省深圳市", "shenzhen", ("南山区", "福田区", "龙岗区")),
    ("浙江省杭州市", "浙江省杭州市", "hangzhou", ("西湖区", "滨江区", "余杭区")),
    ("四川省成都市", "四川省成都市", "chengdu", ("武侯区", "锦江区", "青羊区")),
    ("湖北省武汉市", "湖北省武漢市", "wuhan", ("武昌区", "洪山区", "江岸区")),
    ("江苏省南京市", "江蘇省南京市", "nanjing", ("玄武区", "鼓楼区", "建邺区")),
)
_ROADS_TEXT = """
    人民路 解放路 中山路 建设路 和平路 文化路 新华路 长江路 黄河路 学院路
    科技路 光明街 友谊街 花园路 迎宾大道 滨河路 朝阳街 幸福路
"""
ROADS = tuple(_ROADS_TEXT.split())
#: Traditional forms of the characters of districts and roads.
TRADITIONAL = dict(pair.split("/") for pair in _TRADITIONAL_TEXT.split())
STREETS = tuple(_STREETS_TEXT.split())
TOWNS = ("london", "manchester", "leeds", "bristol", "york", "dublin", "berlin", "madrid")
MAIL = ("qq.com", "163.com", "gmail.com", "outlook.com", "sina.com", "126.com")
