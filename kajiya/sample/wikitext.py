"""Encyclopedia pages in MediaWiki markup: infoboxes, tables, references, links, captions, lists."""

import dataclasses
import random
import re

from kajiya.sample.deck import Deck
from kajiya.sample.english import names as english_names
from kajiya.sample.facts import Fact, entities, facts_about, read_data
from kajiya.sample.prose import PLAIN, Writer, family_names


@dataclasses.dataclass
class Page:
    """A page to be; `plain` holds the sentences a reader sees in its body."""

    title: str
    namespace: int
    text: str
    kind: str = "article"
    redirect: str | None = None
    plain: str = ""
    values: list[str] = dataclasses.field(default_factory=list)  # texts that extraction must keep


def article(rng: random.Random, deck: Deck, title: str) -> Page:
    """An article about one entity."""
    writer = Writer(rng, PLAIN)
    kind, own = entities()[title], list(facts_about(title))
    rng.shuffle(own)
    lead = f"{title}は{kind}の一つである。" + writer.paragraph(own[:2])
    sections = [
        ("概要", writer.paragraph([*own[1:4], *deck.draw(8)])),
        ("歴史", _history(writer, title) + writer.paragraph([*own[:1], *deck.draw(6)])),
        (rng.choice(["特色", "関連する話題", "比較", "社会とのかかわり"]), writer.paragraph(deck.draw(6))),
    ]
    items = [(fact.subject, writer.state(fact)) for fact in deck.draw(3)]
    page = Page(title, 0, "", plain=_visible(lead, sections, items))
    marks = _Marks(rng, page)
    body = [_infobox(rng, title, kind, own), _caption(rng, title, kind), marks.lead(lead)]
    for heading, text in sections:
        body += [f"== {heading} ==", marks.paragraph(text)]
    body += [_list(items), *_optional(rng, deck), _ending(rng, title, kind, own)]
    page.text = "\n".join(part for part in body if part)
    return page


def redirect(rng: random.Random, title: str) -> Page:
    name = rng.choice([f"{title}のこと", f"{title}について", f"名物{title}", f"ザ・{title}"])
    command = rng.choice(["#REDIRECT", "#転送", "#redirect"])
    return Page(name, 0, f"{command} [[{title}]]\n{{{{リダイレクトの所属カテゴリ}}}}", "redirect", title)


def disambiguation(rng: random.Random, title: str) -> Page:
    """A page that only lists meanings of a name."""
    name = rng.choice(family_names())
    lines = [f"'''{title}'''（曖昧さ回避）", ""]
    meanings = rng.sample(["小惑星", "小説", "駅", "船", "競走馬", "楽曲", "映画", "企業"], 4)
    lines += [f"* [[{title} ({one})]] - {rng.randint(1920, 2015)}年の{one}。" for one in meanings]
    lines.append(f"* [[{name}{title}]] - 架空の人物。")
    lines.append(rng.choice(["{{aimai}}", "{{曖昧さ回避}}", "{{Aimai}}", "{{人名の曖昧さ回避}}"]))
    return Page(f"{title} (曖昧さ回避)", 0, "\n".join(lines), "disambiguation")


def other_namespaces() -> list[Page]:
    """Pages that are no articles, of which a dump has many."""
    return [
        Page("Template:Aimai", 10, "<div>このページは[[曖昧さ回避]]のためのページです。</div>", "namespace"),
        Page("Template:Reflist", 10, "<references />{{{1|}}}", "namespace"),
        Page("Template:仮リンク", 10, "[[{{{1}}}]]<small>（[[:{{{2}}}:{{{3}}}]]）</small>", "namespace"),
        Page("Category:都道府県", 14, "[[Category:日本の地理]]", "namespace"),
        Page("Category:郷土料理", 14, "[[Category:食文化]]\n郷土料理に関するカテゴリ。", "namespace"),
        Page("Wikipedia:井戸端", 4, "利用者どうしの話し合いの場である。", "namespace"),
        Page("MediaWiki:Common.css", 8, "body { color: black; }", "namespace"),
    ]


class _Marks:
    """Turns plain sentences into wikitext of the same visible words."""

    def __init__(self, rng: random.Random, page: Page) -> None:
        self.rng = rng
        self.page = page
        self.linked: set[str] = {page.title}
        self.references = 0

    def lead(self, text: str) -> str:
        title = self.page.title
        reading = f"（{{{{lang-en-short|{english_names()[title]}}}}}）" if title in english_names() else ""
        rest = text.removeprefix(title)
        return f"'''{title}'''{reading}" + self.paragraph(rest)

    def paragraph(self, text: str) -> str:
        sentences = re.findall(r"[^。]*。[」』]?|[^。]+$", text)
        marked = "".join(self._sentence(sentence) for sentence in sentences)
        return marked + ("\n" if self.rng.random() < 0.5 else "")

    def _sentence(self, sentence: str) -> str:
        kind = self.rng.random()
        text = self._link(sentence)
        if kind < 0.12:
            return text + self._reference()
        if kind < 0.16:
            return text + "<!-- 出典を確認すること -->"
        if kind < 0.19:
            return f"{{{{要出典|範囲={text}|date=2025年{self.rng.randint(1, 12)}月}}}}"
        if kind < 0.21:
            return text + f"ふもとからの道のりは{{{{convert|{self.rng.randint(2, 90)}|km|mi}}}}である。"
        return text

    def _link(self, sentence: str) -> str:
        for name in _names_in(sentence):
            if name in self.linked:
                continue
            self.linked.add(name)
            return sentence.replace(name, self._link_form(name, sentence), 1)
        return sentence

    def _link_form(self, name: str, sentence: str) -> str:
        kind = self.rng.random()
        if kind < 0.55:
            return f"[[{name}]]"
        if kind < 0.75:
            return f"[[{name} ({entities()[name]})|{name}]]"
        self.page.values.append(sentence.strip())
        if kind < 0.85:
            return f"{{{{仮リンク|{name}|en|{name} in Japan}}}}"
        if kind < 0.92:
            return f"{{{{nowrap|{name}}}}}"
        return f"'''{{{{lang|ja|{name}}}}}'''"

    def _reference(self) -> str:
        self.references += 1
        name = self.rng.choice(family_names())
        year = self.rng.randint(1950, 2020)
        if self.references > 1 and self.rng.random() < 0.4:
            return f'<ref name="r{self.references - 1}" />'
        source = f"{{{{Cite book|和書|author={name}|title=調査報告 第{year % 100}集|year={year}|page=12}}}}"
        return f'<ref name="r{self.references}">{source}</ref>'


def _names_in(sentence: str) -> list[str]:
    found = [name for name in entities() if len(name) > 2 and name in sentence]
    return sorted(found, key=len, reverse=True)


def _history(writer: Writer, title: str) -> str:
    return writer.sentence(writer.pick(read_data("prose.yaml")["opening"]["wiki_history"]), s=title)


def _infobox(rng: random.Random, title: str, kind: str, own: list[Fact]) -> str:
    lines = [f"{{{{基礎情報 {kind}", f"|名称 = {title}", f"|画像 = [[ファイル:{title}.jpg|250px]]"]
    lines += [f"|{fact.relation.object_type} = [[{fact.object}]]" for fact in own if fact.subject == title]
    lines.append(f"|規模 = {{{{formatnum:{rng.randint(1000, 99999)}}}}}<br />（{rng.randint(1990, 2020)}年）")
    return "\n".join([*lines, "}}"])


def _caption(rng: random.Random, title: str, kind: str) -> str:
    side = rng.choice(["thumb", "thumb|right|220px", "サムネイル|左"])
    return f"[[ファイル:{title} 01.jpg|{side}|{title}の写真。[[{kind}]]の資料から]]"


def _visible(lead: str, sections: list[tuple[str, str]], items: list[tuple[str, str]]) -> str:
    """The text as a reader sees it, for pages that copy it."""
    paragraphs = (f"{heading}\n{text}" for heading, text in [*sections, ("主な事項", "")])
    return "\n\n".join([lead, *paragraphs]) + "\n".join(f"{name} - {text}" for name, text in items)


def _list(items: list[tuple[str, str]]) -> str:
    return "\n".join(["== 主な事項 ==", *(f"* [[{name}]] - {text}" for name, text in items)])


def _optional(rng: random.Random, deck: Deck) -> list[str]:
    """A table, a gallery, a formula or literal markup: not on every page."""
    parts = []
    if rng.random() < 0.4:
        rows = "\n".join(f"|-\n| [[{one.subject}]] || {one.object}" for one in deck.draw(3))
        parts.append(f'== 一覧 ==\n{{| class="wikitable sortable"\n|+ 対照表\n! 項目 !! 内容\n{rows}\n|}}')
    if rng.random() < 0.15:
        parts.append("<gallery>\nファイル:例 A.jpg|正面\nファイル:例 B.jpg|[[側面]]\n</gallery>")
    if rng.random() < 0.1:
        parts.append("関係は <math>y = \\frac{a}{b} x^2</math> と表される。<br />式は近似である。")
    if rng.random() < 0.1:
        parts.append("記事で強調するには <nowiki>'''語'''</nowiki> と書く。&nbsp;")
    return parts


def _ending(rng: random.Random, title: str, kind: str, own: list[Fact]) -> str:
    name = rng.choice(family_names())
    links = "\n".join(f"* [[{fact.object if fact.subject == title else fact.subject}]]" for fact in own[:4])
    return (
        "== 脚注 ==\n{{脚注ヘルプ}}\n{{Reflist}}\n"
        f"== 参考文献 ==\n* {name}『{title}の研究』架空書房、{rng.randint(1950, 2020)}年。\n"
        f"== 関連項目 ==\n{links}\n"
        f"== 外部リンク ==\n* [https://www.example.jp/{len(title)} 公式サイト]\n"
        f"{{{{Normdaten}}}}\n{{{{デフォルトソート:{title}}}}}\n[[Category:{kind}|{title}]]\n[[Category:架空の出典のある記事]]"
    )
