"""Links and templates, which nest in each other: the words they show, without recursion.

Brackets are paired first. What is dropped (infoboxes, pictures, most templates) is then jumped over
whole; only links and templates that show words are looked into.
"""

import re
from collections.abc import Mapping

from components.crawl.wikitext.tags import HOLE, protect
from components.crawl.wikitext.templates import Rule, Values, find_rule, first_words

# The two common forms of link, [[a]] and [[a|b]]; split() by it leaves what they show, at the speed of C.
_PLAIN_LINK = re.compile(r"\[\[(?![#/: ])(?:[^\[\]{}|:\n]++\|)?+([^\[\]{}|:=\n]++)\]\]")
_TOKEN = re.compile(r"(\[\[|\]\]|\{\{|\}\})")
_ARGUMENT = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")
_NAMESPACE = re.compile(r"\s*([^:|\[\]{}#<>\n]{1,40}?)\s*:")
# [[en:Title]] without a colon before it is a link in the margin; `wikt:` and the like are words.
_MARGIN_LINK = re.compile(r"(?!doi$|rfc$|ftp$)[a-z]{2,3}(?:-[a-z-]+)?$|simple$")
_SISTER_SITE = re.compile(
    r"(?:wikt|wiktionary|w|s|b|n|q|v|d|m|c|commons|wikisource|species|meta):+", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?:https?:)?//\S*\s*")
# As deep as MediaWiki goes; also what keeps the work linear, for each level copies its inside.
_MAX_DEPTH = 40
# A template between these and a full stop is a word of the sentence, whatever its name.
_PARTICLES = frozenset("はがをにのでとへや")
_PREPOSITIONS = tuple(
    f" {word} "
    for word in [
        "is",
        "was",
        "are",
        "were",
        "the",
        "a",
        "an",
        "of",
        "by",
        "in",
        "to",
        "at",
        "as",
        "for",
        "from",
        "with",
        "and",
        "or",
    ]
)
_BRACKETS = {"「": "」", "『": "』"}


class Renderer:
    """Turns links and templates of one wiki into words."""

    def __init__(self, hidden_namespaces: frozenset[str], rules: Mapping[str, Rule]) -> None:
        """hidden_namespaces: lower case, of files and categories. rules: see templates.rules_of."""
        self.hidden = hidden_namespaces
        self.rules = rules

    def render(self, text: str) -> str:
        """The text with every link and template replaced; unbalanced brackets go, their words stay."""
        if "[[" in text:
            text = "".join(_PLAIN_LINK.split(text))
        if "{{{" in text:
            text = _ARGUMENT.sub(lambda found: found[1] or "", text)
        parts = _TOKEN.split(text)
        if len(parts) == 1:
            return text
        ends = _pair(parts)
        open_frames = [_Frame("", len(parts))]
        place = 0
        while place < len(parts):
            frame = open_frames[-1]
            if place % 2 == 0:
                frame.add_source(parts[place])
                place += 1
            elif place == frame.end:
                open_frames.pop()
                open_frames[-1].add_words(self._close(frame))
                place += 1
            else:
                place = self._open(parts, ends, place, open_frames)
        return "".join(open_frames[0].arguments[0])

    def _open(self, parts: list[str], ends: dict[int, int], place: int, frames: list["_Frame"]) -> int:
        """Step into a bracket, or over it; the place to go on at."""
        end, after = ends.get(place), parts[place + 1]
        if end is None:
            if parts[place] == "[[" and self._is_hidden(after):  # a caption that never ends: its line goes
                parts[place + 1] = "".join(after.partition("\n")[1:])
            return place + 1
        if parts[place] == "[[":
            drop = self._is_hidden(after)
            rule = None
        else:
            rule = find_rule(after, self.rules)
            if rule is None and _is_word(parts, place, end):
                rule = first_words
            drop = rule is None
        if drop or len(frames) > _MAX_DEPTH:
            frames[-1].add_words(HOLE)
            return end + 1
        frames.append(_Frame(parts[place], end, rule))
        return place + 1

    def _is_hidden(self, target: str) -> bool:
        """Whether a link shows nothing here: pictures, categories, other languages."""
        found = _NAMESPACE.match(target)
        if not found:
            return False
        namespace = found[1].lower()
        return namespace in self.hidden or _MARGIN_LINK.match(namespace) is not None

    def _close(self, frame: "_Frame") -> str:
        if frame.rule is not None:
            return _template(frame, frame.rule) or HOLE
        target, *label = ("".join(pieces) for pieces in frame.arguments)
        shown = "|".join(label).strip("\n")
        if shown.strip():
            return shown
        return self._target(target.strip()) or HOLE

    def _target(self, target: str) -> str:
        """What a link without a label shows."""
        if found := _ADDRESS.match(target):
            return target[found.end() :]
        target = _SISTER_SITE.sub("", target.lstrip(":"), count=1).lstrip(":#/ ")
        found = _NAMESPACE.match(target)
        if found and found[1].lower() in self.hidden:
            # [[:Category:町]] is a word of its sentence, a file's name is none.
            return "" if re.search(r"\.\w{3,4}$", target) else target[found.end() :].strip()
        return target


class _Frame:
    """A link or template that is being read, its arguments as pieces."""

    __slots__ = ("arguments", "bracket", "end", "rule")

    def __init__(self, bracket: str, end: int, rule: Rule | None = None) -> None:
        self.bracket = bracket
        self.end = end
        self.rule = rule
        self.arguments: list[list[str]] = [[]]

    def add_source(self, text: str) -> None:
        if not self.bracket or "|" not in text:
            self.arguments[-1].append(text)
            return
        first, *others = text.split("|")
        self.arguments[-1].append(first)
        self.arguments.extend([other] for other in others)

    def add_words(self, words: str) -> None:
        """Words of an inner bracket: a `=` in them names no parameter of this one."""
        self.arguments[-1].append(protect(words) if self.bracket == "{{" and "=" in words else words)


def _pair(parts: list[str]) -> dict[int, int]:
    """Place of the closing bracket by place of the opening one. Tokens stand at the odd places."""
    opened: list[int] = []
    ends: dict[int, int] = {}
    templates_open = 0
    for place in range(1, len(parts), 2):
        bracket = parts[place]
        if bracket == "{{":
            opened.append(place)
            templates_open += 1
        elif bracket == "[[":
            opened.append(place)
        elif bracket == "}}" and templates_open:
            while parts[opened[-1]] != "{{":  # links that were never closed
                opened.pop()
            ends[opened.pop()] = place
            templates_open -= 1
        elif bracket == "]]" and opened and parts[opened[-1]] == "[[":
            ends[opened.pop()] = place
    # A pair around a bracket that is never closed stays: the unclosed one shows its words inside.
    return ends


def _is_word(parts: list[str], place: int, end: int) -> bool:
    """Whether dropping the template would leave a sentence without its word: `高さは{{x|5m}}。`"""
    before, after = parts[place - 1], parts[end + 1][:1]
    if not before or not after:
        return False
    if after in "。、，．.,;:":
        return before[-1] in _PARTICLES or before.endswith(_PREPOSITIONS)
    return _BRACKETS.get(before[-1]) == after


def _template(frame: _Frame, rule: Rule) -> str:
    name, *arguments = ("".join(pieces) for pieces in frame.arguments)
    values: Values = {"0": name.strip()}
    position = 0
    function, colon, value = name.partition(":")
    if colon and function.strip(f" \n{HOLE}").lower() not in ("template", "テンプレート"):
        arguments.insert(0, value)
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and "<" not in key:
            values[key.strip(f" \n{HOLE}").lower()] = value.strip()
        else:
            position += 1
            values[str(position)] = argument.strip()
    return rule(values)
