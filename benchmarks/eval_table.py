"""The results of the evaluation benchmark as Markdown."""

from typing import Any

Row = dict[str, Any]

_BEGIN, _END = "<!-- evaluation -->\n", "<!-- end -->"
_HEAD = """\
| task | requests | ours, {unit} | lm-eval | times as fast | goal | differing | nats apart | beside |
|---|--:|--:|--:|--:|--:|--:|--:|---|"""


def table(results: dict[str, Any]) -> str:
    """What the terminal and docs/performance.md show: a table for each model."""
    parts = []
    rows = results["rows"]
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        if own[0]["ours"] is None:
            parts.append(f"**{own[0]['work']}**: not measured: {own[0]['reason']}.")
            continue
        lines = [f"| {' | '.join(_cells(row))} |" for row in own]
        parts.append("\n".join([f"**{own[0]['work']}**", "", _HEAD.format(unit=own[0]["unit"]), *lines]))
    if measured := [row for row in rows if row["ours"] is not None]:
        dates, loads = sorted(row["date"] for row in measured), sorted(row["load"] for row in measured)
        where = f"{results['machine']['processor']}, load average {loads[0]} to {loads[-1]}"
        parts.append(
            f"Measured {dates[0]} to {dates[-1]} on {where}; {measured[0]['input'].split('; ')[-1]}."
        )
    return "\n\n".join(parts)


def _cells(row: Row) -> list[str]:
    return [
        row["input"].split(";")[0] if row["task"] != "all" else "all of these",
        str(row["requests"]),
        f"{row['ours']:.3g}",
        f"{row['peer_value']:.3g}",
        f"{row['ratio']:.3g}",
        f"{row['ratio_goal']:.3g}" if row["ratio_goal"] else "-",
        str(row["differing"]),
        "-" if row["nats"] is None else f"{row['nats']:.0e}",
        row["peer"].removeprefix("lm-eval, "),
    ]


def with_table(results: dict[str, Any], document: str) -> str:
    """The document with what stands between `<!-- evaluation -->` and `<!-- end -->` made anew."""
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("no table `evaluation` in the document")
    return f"{before}{begin}{table(results)}\n{end}{after}"
