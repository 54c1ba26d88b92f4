"""Pages that only list others of their name: known by their templates."""

import re

_NAMES = (
    "aimai|曖昧さ回避|あいまいさ回避|曖昧|dmbox|disambig(?:uation)?(?: page)?|disamb|dab|dbig|hndis|hndab|human name disambiguation|"
    "geodis|numberdis|letter-numbercombdisambig|mathdab|schooldis|airport disambiguation|set index(?: article)?|sia|"
    "surname|given name|人名の曖昧さ回避|地名の曖昧さ回避|姓|名字|女性の名前|男性の名前|同名の[^|{}]{1,20}|"
    "[^|{}\n]{1,30}(?:disambiguation|曖昧さ回避)"
)
# The guard is a literal: the pattern behind it is slow, and most pages have none of it.
_TEMPLATE = re.compile(rf"\{{\{{\s*(?:template:|テンプレート:)?(?:{_NAMES})\s*[|}}]", re.IGNORECASE)
_SWITCH = ("__disambig__", "__DISAMBIG__", "__曖昧さ回避__")
# {{Otheruses|...|甲 (曖昧さ回避)}} at the head of an article tells of such a page and is none.
_OF_OTHERS = re.compile(r"redirect|about|for$|other|hatnote", re.IGNORECASE)


def is_disambiguation(wikitext: str) -> bool:
    """Whether the page only lists others of its name."""
    found = _TEMPLATE.search(wikitext)
    if found and not _OF_OTHERS.search(found[0]):
        return True
    return any(switch in wikitext for switch in _SWITCH)
