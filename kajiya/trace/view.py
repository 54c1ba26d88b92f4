"""A document's history for the terminal."""

from collections import Counter

from rich.text import Text
from rich.tree import Tree

from kajiya.trace.history import History
from kajiya.trace.models import Span, Use

_STYLES = {"kept": "green", "rejected": "red"}
_SHOWN = 5


def history_tree(found: History, uses: list[Use]) -> Tree:
    """From the source to the registered versions."""
    tree = Tree(Text(found.id, style="bold"))
    for step in found.steps:
        outcome = (step.outcome, _STYLES.get(step.outcome, "yellow"))
        node = tree.add(Text.assemble((step.stage, "bold cyan"), "  ", outcome))
        for name, value in step.facts.items():
            node.add(Text.assemble((f"{name}  ", "dim"), value))
    for title, others in (
        ("copies dropped for it", found.stands_for or []),
        ("stays in its place", [found.stands_in]),
    ):
        if named := [one for one in others if one]:
            tree.add(Text(f"{title}: {_some(named)}"))
    if found.stands_for is None:
        tree.add(Text("copies: unknown, the output of dedupe is not on this disk", "yellow"))
    for use in uses:
        _grow(tree, found, use)
    return tree


def learnt_by(uses: list[Use]) -> list[str]:
    """The registered versions that learnt some of the documents, or may have."""
    return [
        f"{version.name}/{version.version} {version.variant}: {said}"
        for use in uses
        for said in [
            "may have learnt them: its tokens are not on this disk"
            if use.spans is None
            else "has learnt them"
        ]
        for version in use.versions
        if use.spans is None or use.spans
    ]


def _grow(tree: Tree, found: History, use: Use) -> None:
    stays = found.stands_in or found.id
    node = tree.add(Text.assemble((f"tokenize@{use.recipe}", "bold cyan"), f"  tokens {use.tokens[:12]}"))
    if use.spans is None:
        node.add(
            Text(
                "these tokens are not on this disk: `dvc fetch` brings them, if a remote holds them", "yellow"
            )
        )
    else:
        spans = [span for span in use.spans if span.document == stays]
        if stays != found.id:
            node.add(Text(f"tokens of {stays}, which stands in its place:", "dim"))
        for line in _lines(spans):
            node.add(Text(line))
    for version in use.versions:
        held = use.spans is None or any(span.document == stays for span in use.spans)
        said = "may have" if use.spans is None else "has" if held else "has not"
        node.add(
            Text.assemble(
                (f"{version.name}/{version.version}", "bold"), f" {version.variant}: {said} learnt it"
            )
        )


def _lines(spans: list[Span]) -> list[str]:
    if not spans:
        return ["no tokens of it"]
    shown = [f"{one.split}.npy[{one.start}:{one.end}]" for one in spans[:_SHOWN]]
    times = Counter(one.split for one in spans)
    counted = ", ".join(f"{count} x in {split}" for split, count in times.items())
    rest = f" and {len(spans) - _SHOWN} more" if len(spans) > _SHOWN else ""
    return [f"{counted}: {', '.join(shown)}{rest}"]


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
