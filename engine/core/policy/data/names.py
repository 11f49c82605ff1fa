"""Other names of Chinese divisions: short forms, former names, placeholders, remote provinces.

Rule: a former name stands here only with the year of its official change and one sure successor;
a district that was divided among several (江干区, 桥东区) is left out on purpose.
"""

from __future__ import annotations

import re

# Rows of the official table that are headings and no places: nobody lives in "市辖区".
PSEUDO_CITIES: frozenset[str] = frozenset(
    ("市辖区", "县", "省直辖县级行政区划", "自治区直辖县级行政区划", "省直辖", "自治区直辖")
)

MUNICIPALITIES: frozenset[str] = frozenset(("北京市", "天津市", "上海市", "重庆市"))

# Cities without districts: 嘉峪关, 东莞, 中山, 儋州.
TOWN_CITY_CODES: frozenset[str] = frozenset(("620200", "441900", "442000", "460400"))

# Spellings that no rule below derives.
PROVINCE_FORMS: dict[str, tuple[str, ...]] = {
    "内蒙古自治区": ("内蒙古", "内蒙"),
    "广西壮族自治区": ("广西", "广西自治区"),
    "西藏自治区": ("西藏",),
    "宁夏回族自治区": ("宁夏", "宁夏自治区"),
    "新疆维吾尔自治区": ("新疆", "新疆自治区"),
    "香港特别行政区": ("香港",),
    "澳门特别行政区": ("澳门",),
}

# Where carriers deliver later and charge more; routing rules read this list.
REMOTE_PROVINCES: frozenset[str] = frozenset(
    (
        "内蒙古自治区", "海南省", "西藏自治区", "甘肃省", "青海省", "宁夏回族自治区",
        "新疆维吾尔自治区", "台湾省", "香港特别行政区", "澳门特别行政区",
    )
)  # fmt: skip

# Province, former name: (present name, year of the official change).
FORMER_CITIES: dict[tuple[str, str], tuple[str, int]] = {
    ("湖北省", "襄樊市"): ("襄阳市", 2010),
    ("云南省", "思茅市"): ("普洱市", 2007),
    ("西藏自治区", "日喀则地区"): ("日喀则市", 2014),
    ("西藏自治区", "昌都地区"): ("昌都市", 2014),
    ("西藏自治区", "林芝地区"): ("林芝市", 2015),
    ("西藏自治区", "山南地区"): ("山南市", 2016),
    ("西藏自治区", "那曲地区"): ("那曲市", 2017),
    ("新疆维吾尔自治区", "吐鲁番地区"): ("吐鲁番市", 2015),
    ("新疆维吾尔自治区", "哈密地区"): ("哈密市", 2016),
    ("贵州省", "毕节地区"): ("毕节市", 2011),
    ("贵州省", "铜仁地区"): ("铜仁市", 2011),
    ("青海省", "海东地区"): ("海东市", 2013),
}

# City, former name: (present name, year of the official change). Only changes of the stem stand
# here: 密云县 -> 密云区, where just the rank changed, is found by rule (district_forms).
FORMER_DISTRICTS: dict[tuple[str, str], tuple[str, int]] = {
    ("北京市", "崇文区"): ("东城区", 2010),
    ("北京市", "宣武区"): ("西城区", 2010),
    ("天津市", "塘沽区"): ("滨海新区", 2009),
    ("天津市", "汉沽区"): ("滨海新区", 2009),
    ("天津市", "大港区"): ("滨海新区", 2009),
    ("天津市", "蓟县"): ("蓟州区", 2016),
    ("上海市", "南汇区"): ("浦东新区", 2009),
    ("上海市", "卢湾区"): ("黄浦区", 2011),
    ("上海市", "闸北区"): ("静安区", 2015),
    ("重庆市", "万盛区"): ("綦江区", 2011),
    ("重庆市", "双桥区"): ("大足区", 2011),
    ("重庆市", "开县"): ("开州区", 2016),
    ("广州市", "东山区"): ("越秀区", 2005),
    ("广州市", "芳村区"): ("荔湾区", 2005),
    ("广州市", "萝岗区"): ("黄埔区", 2014),
    ("杭州市", "下城区"): ("拱墅区", 2021),
    ("绍兴市", "绍兴县"): ("柯桥区", 2013),
    ("宁波市", "江东区"): ("鄞州区", 2016),
    ("南京市", "白下区"): ("秦淮区", 2013),
    ("南京市", "下关区"): ("鼓楼区", 2013),
    ("苏州市", "沧浪区"): ("姑苏区", 2012),
    ("苏州市", "平江区"): ("姑苏区", 2012),
    ("苏州市", "金阊区"): ("姑苏区", 2012),
    ("无锡市", "崇安区"): ("梁溪区", 2015),
    ("无锡市", "南长区"): ("梁溪区", 2015),
    ("无锡市", "北塘区"): ("梁溪区", 2015),
    ("南通市", "港闸区"): ("崇川区", 2020),
    ("青岛市", "四方区"): ("市北区", 2012),
    ("青岛市", "胶南市"): ("黄岛区", 2012),
    ("成都市", "郫县"): ("郫都区", 2016),
    ("西安市", "户县"): ("鄠邑区", 2016),
    ("唐山市", "滦县"): ("滦州市", 2018),
    ("大同市", "大同县"): ("云州区", 2018),
    ("贵阳市", "小河区"): ("花溪区", 2012),
    ("芜湖市", "芜湖县"): ("湾沚区", 2020),
}

# Spelled so in daily use; no rule derives them.
DISTRICT_NICKNAMES: dict[str, tuple[str, ...]] = {
    "浦东新区": ("浦东",),
    "滨海新区": ("滨海",),
    "喀喇沁左翼蒙古族自治县": ("喀左县",),
    "前郭尔罗斯蒙古族自治县": ("前郭县",),
    "莫力达瓦达斡尔族自治旗": ("莫旗",),
}

# Peoples as they stand in names of autonomous places, longest first: 恩施|土家族|苗族|自治州.
_PEOPLES_TEXT = """
蒙古族 蒙古 回族 藏族 维吾尔 苗族 彝族 壮族 布依族 朝鲜族 满族 侗族 瑶族 白族 土家族 哈尼族
哈萨克族 哈萨克 傣族 黎族 傈僳族 佤族 畲族 拉祜族 水族 东乡族 纳西族 景颇族 柯尔克孜 土族
达斡尔族 仫佬族 羌族 布朗族 撒拉族 毛南族 仡佬族 锡伯 普米族 塔吉克 怒族 保安族 裕固族
独龙族 鄂温克族 各族
"""
_PEOPLES: tuple[str, ...] = tuple(sorted(_PEOPLES_TEXT.split(), key=len, reverse=True))

_RANKS: tuple[str, ...] = ("街道办事处", "街道", "林区", "区", "县", "市", "旗", "镇", "乡")
# Development zones: what the table writes in full, and what people write.
_ZONES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("高新技术产业开发区", ("高新技术产业开发区", "高新技术开发区", "高新开发区", "高新区")),
    ("高新技术开发区", ("高新技术开发区", "高新区")),
    ("经济技术开发区", ("经济技术开发区", "经济开发区", "经开区")),
    ("经济开发区", ("经济开发区", "经济技术开发区", "经开区")),
    ("工业园区", ("工业园区",)),
)
_AUTONOMOUS = re.compile("自治([州县旗])$")


def _without_people(stem: str) -> str:
    """恩施土家族苗族 -> 恩施; 东乡族 -> 东乡, as the people is all there is to the name."""
    while people := next((name for name in _PEOPLES if stem.endswith(name)), ""):
        if people == stem:
            return stem.removesuffix("族")
        stem = stem.removesuffix(people)
    return stem


def _autonomous(name: str) -> tuple[str, str] | None:
    """延边朝鲜族自治州 -> (延边, 州); None for every other kind of name."""
    match = _AUTONOMOUS.search(name)
    return (_without_people(name[: match.start()]), match.group(1)) if match else None


def province_forms(name: str) -> tuple[str, ...]:
    """Short spellings of a province: 广东省 -> 广东, 新疆维吾尔自治区 -> 新疆."""
    return PROVINCE_FORMS.get(name) or (name[:-1],)


def city_forms(name: str) -> tuple[tuple[str, ...], str]:
    """Official-looking spellings and the bare stem: 延边朝鲜族自治州 -> ((延边州,), 延边)."""
    if autonomous := _autonomous(name):
        stem, rank = autonomous
        return (stem + rank,), stem
    for rank in ("地区", "市", "盟"):
        if name.endswith(rank):
            return (), name.removesuffix(rank)
    return (), ""


def district_forms(name: str, city_stem: str) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Official-looking spellings, spellings of another rank, and the bare stem of a district.

    石柱土家族自治县 -> ((石柱县,), (), 石柱); 密云区 -> ((), (密云县, 密云市), 密云), because
    counties become districts and cities every year and shops keep their old address books.
    """
    nicknames = DISTRICT_NICKNAMES.get(name, ())
    if autonomous := _autonomous(name):
        stem, rank = autonomous
        return (stem + rank, *nicknames), (), stem
    for ending, spellings in _ZONES:
        if name.endswith(ending):
            return (city_stem + "市" + name.removeprefix(city_stem), *spellings), (), ""
    rank = next((rank for rank in _RANKS if name.endswith(rank)), "")
    stem = name.removesuffix(rank)
    if not rank or len(stem) < 2:
        return nicknames, (), ""
    others = tuple(stem + other for other in "区县市" if other != rank) if rank in "区县市" else ()
    if rank in ("街道", "街道办事处", "镇", "乡"):
        # 东莞 people write 南城区 for 南城街道 (their towns stand where districts stand).
        others = tuple(stem + other for other in ("街道", "镇", "区") if other != rank)
    return nicknames, others, stem


# What follows a stem in the name of a road or building: 西湖|路 is no 西湖区.
ROAD_WORDS = re.compile(
    "[东西南北中]?[一二三四五六七八九十]*(?:路|街|道|大道|大街|巷|弄|胡同)|里|村|镇|乡|桥|山|湖|城|园|苑|"
    "广场|大厦|花园|小区|新村|公园|站|港|湾|门|楼|省|市|区|县|州|盟|旗|银行|大学|医院|酒店"
)
# 西湖区|人民政府: the name belongs to a house, so it is no repetition of the district.
HOUSE_WORDS = re.compile(
    "(?:第[一二三四五六七八九十0-9]|人民(?:政府|医院|法院|检察院)|政府|中医|医院|法院|公安|税务|委员会|"
    "市场|图书馆|博物馆|体育|火车|客运|汽车|大学|大厦|中学|小学|实验|教育局|文化馆|路|街|道)"
)
# Zones everybody uses as districts though the official table does not list them: 济南市高新区.
ZONE = re.compile(r"[^\s\d]{0,8}?(?:高新区|经开区|开发区|示范区|保税区|管理区|新区)")
COUNTRY_WORDS: tuple[str, ...] = ("中华人民共和国", "中国")
