"""Reading the report's pages in tests."""

import re


def language(html, which):
    """What a reader of one language sees."""
    return re.search(rf'<main class="in-{which}" lang="{which}">(.*?)</main>', html, re.DOTALL)[1]


def headings(html):
    """Id and words of every section's heading."""
    return re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', html)


def rows(html):
    """Every table row as the list of its cells' words."""
    found = []
    for row in re.findall(r"<tr.*?</tr>", html, re.DOTALL):
        cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL)
        found.append([re.sub(r"<.*?>", "", cell).strip() for cell in cells])
    return found


def outside(html):
    """Everything that a browser would load, or that leaves the page."""
    links = [
        link for link in re.findall(r"""(?:src|href|data|action)=["']([^"']*)""", html) if link[:1] != "#"
    ]
    styles = re.findall(r"@import|url\((?!#)[^)]*\)|image-set\(", html)
    return [*links, *styles, *re.findall(r"<(?:script|link|iframe|object|embed|img)\b", html)]
