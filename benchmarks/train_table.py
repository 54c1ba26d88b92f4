"""The results of the training benchmark as Markdown, and the machine that they are of."""

from typing import Any

Row = dict[str, Any]

_BEGIN, _END = "<!-- training -->\n", "<!-- end -->"
_HEAD = """\
| work | unit | ours | beside | its value | ratio | goal | loss, ours / its |
|---|---|--:|---|--:|--:|--:|---|"""


def table(results: dict[str, Any]) -> str:
    """What the terminal and docs/performance.md show."""
    rows = results["rows"]
    lines = [_HEAD, *(f"| {' | '.join(_cells(row))} |" for row in rows)]
    for row in rows:
        if row.get("ours_mfu"):
            full = row["ours_mfu_full_attention"]
            goal = f"; goal {row['mfu_goal']}" if row.get("mfu_goal") else ""
            lines += [
                "",
                f"{row['work']}: MFU {row['ours_mfu']:.3f} ({full:.3f} with attention in full{goal}).",
            ]
    drafts = {row["work"]: row for row in rows if row.get("tokens_per_pass")}
    for work, row in drafts.items():
        held = f"{row['acceptance']:.0%} of the guesses held, {row['tokens_per_pass']:.3g} tokens a pass"
        lines += ["", f"{work}: {held}; {row['input']}."]
    measured = [row for row in rows if row.get("load") is not None]
    dates, loads = sorted(row["date"] for row in measured), sorted(row["load"] for row in measured)
    if measured:
        where = f"{results['machine']['processor']}, load average {loads[0]} to {loads[-1]}"
        lines += ["", f"Measured {dates[0]} to {dates[-1]} on {where}."]
    return "\n".join(lines)


def _cells(row: Row) -> list[str]:
    if row["ours"] is None:
        return [row["work"], "", f"not measured: {row['reason']}", row["peer"] or "-", "", "", "", ""]
    losses = [f"{row[side][-1]['loss']:.4f}" for side in ("ours_turns", "peer_turns") if row.get(side)]
    return [
        row["work"],
        row["unit"],
        _number(row["ours"]),
        row["peer"] or "-",
        _number(row["peer_value"]),
        _number(row["ratio"]),
        _goal(row),
        " / ".join(losses) or "-",
    ]


def _goal(row: Row) -> str:
    """Of the ratio, or the most that our value may be."""
    if row.get("ratio_goal"):
        return f"{_number(row['ratio_goal'])} x"
    return f"at most {_number(row['goal'])}" if row.get("goal") else "-"


def with_table(results: dict[str, Any], document: str) -> str:
    """The document with what stands between `<!-- training -->` and `<!-- end -->` made anew."""
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("no table `training` in the document")
    return f"{before}{begin}{table(results)}\n{end}{after}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"
