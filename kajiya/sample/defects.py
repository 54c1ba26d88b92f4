"""What goes wrong on the web, made on purpose: menus, cut sentences, spam, mojibake, copies."""

import random
import re

from kajiya.sample.facts import read_data
from kajiya.sample.prose import family_names


def menu_page(rng: random.Random) -> str:
    """Nothing but navigation and archive lists."""
    lines = [" | ".join(rng.sample(read_data("prose.yaml")["menu_words"], 5)) for _ in range(4)]
    lines += [
        f"{year}年{month}月 ({rng.randint(1, 40)})" for year in (2016, 2017, 2018) for month in range(1, 13)
    ]
    lines += rng.sample(read_data("prose.yaml")["menu_words"], 12)
    return "\n".join(lines)


def with_menu(rng: random.Random, text: str) -> tuple[str, list[str]]:
    """A good page with navigation above and below, and the planted lines."""
    top = " > ".join(["ホーム", *rng.sample(read_data("prose.yaml")["menu_words"][1:], 2)])
    bottom = [
        " | ".join(rng.sample(read_data("prose.yaml")["menu_words"], 6)),
        f"Copyright (C) {rng.randint(2010, 2019)} All Rights Reserved.",
    ]
    return "\n".join([top, text, *bottom]), [top, *bottom]


def truncated(rng: random.Random, text: str) -> str:
    """A list of teasers: every sentence is cut."""
    sentences = [one for one in re.split(r"[。\n]", text) if len(one) > 16]
    mark = rng.choice(["...", "…", "・・・", "… 続きを読む"])
    return "\n".join(one[: rng.randint(12, max(13, len(one) - 3))] + mark for one in sentences)


def advertisement(rng: random.Random, subject: str) -> str:
    return _flood(rng, read_data("prose.yaml")["advertisement_words"], f"{subject}を買うなら当店で")


def adult(rng: random.Random) -> str:
    """Only the words that word lists look for."""
    return _flood(rng, read_data("prose.yaml")["adult_words"], "十八歳未満の方は入れません")


def _flood(rng: random.Random, words: list[str], head: str) -> str:
    lines = [head]
    for _ in range(24):
        chosen = rng.sample(words, rng.randint(3, 5))
        lines.append(rng.choice(["【{}】", "★{}★", "{}！！", "≪{}≫をお探しなら"]).format(" ".join(chosen)))
    return "\n".join(lines)


def mojibake(rng: random.Random, text: str) -> str:
    """Bytes read in the wrong encoding."""
    if rng.random() < 0.5:
        return text.encode("utf-8").decode("latin-1")
    return text.encode("euc_jp", "replace").decode("shift_jis", "replace")


def with_email(rng: random.Random, text: str) -> tuple[str, str]:
    """A page that gives an address, and the address."""
    user = rng.choice(["info", "toiawase", "tanaka.ichiro", "shop-1", "webmaster", "sato_h"])
    address = f"{user}{rng.randint(1, 99)}@{rng.choice(['mail', 'www', 'kanko', 'shop'])}.example.{rng.choice(['jp', 'com'])}"
    return _insert(rng, text, f"ご意見は{address}までお送りください。"), address


def with_phone(rng: random.Random, text: str) -> tuple[str, str]:
    """A page that gives a telephone number of no one, and the number."""
    tail = f"{rng.randint(0, 9999):04}"
    number = rng.choice(
        [
            f"03-0000-{tail}",
            f"090-0000-{tail}",
            f"0120-000-{tail[1:]}",
            f"(03) 0000-{tail}",
            f"０３－００００－{tail}",
        ]
    )
    name = rng.choice(family_names())
    return _insert(rng, text, f"お申し込みは電話{number}（担当：{name}）で受け付けています。"), number


def near_copy(rng: random.Random, text: str) -> str:
    """The same page on another host: a new head line, a few words changed, one sentence gone."""
    lines = text.split("\n")
    lines[0] = rng.choice(["【転載】", "再掲：", "まとめ｜"]) + lines[0]
    body = "\n".join(lines)
    for old, new in rng.sample(
        [("でしょう", "でしょうか"), ("という", "と言う"), ("人気", "評判"), ("多く", "多数")], 2
    ):
        body = body.replace(old, new, 2)
    sentences = re.findall(r"[^。]*。|[^。]+$", body)
    if len(sentences) > 8:
        del sentences[rng.randrange(3, len(sentences) - 2)]
    return "".join(sentences)


def jaccard(left: str, right: str, size: int = 5) -> float:
    """Exact similarity of two texts by their character n-grams, as the answer key gives it."""
    grams = [{text[i : i + size] for i in range(len(text) - size + 1)} for text in (left, right)]
    return len(grams[0] & grams[1]) / max(1, len(grams[0] | grams[1]))


def _insert(rng: random.Random, text: str, sentence: str) -> str:
    lines = text.split("\n")
    lines.insert(rng.randint(1, len(lines)), sentence)
    return "\n".join(lines)
