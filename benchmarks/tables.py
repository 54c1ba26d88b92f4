"""The results as Markdown: what the terminal and docs/performance.md show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Results = dict[str, Any]
MC4_JA_MB = 700_000
_STAGES = ("clean", "dedupe", "decontaminate", "tokenize")


def speed_table(results: Results) -> str:
    """Every work on one core, once per peer."""
    lines = [
        "| work | MB/s/core | goal | beside | its MB/s/core | times as fast | goal |",
        "|---|--:|--:|---|--:|--:|--:|",
    ]
    before = None
    for row in _rows(results, cores=1):
        ours = (
            ["", "", ""]
            if row["work"] == before
            else [row["work"], _number(row["ours"]), _number(row["goal"])]
        )
        before = row["work"]
        value = _number(row["peer_value"]) if row["peer_value"] or not row["peer"] else "not run (1)"
        cells = [*ours, row["peer"] or "-", value, _number(row["ratio"]), _number(row["ratio_goal"])]
        lines.append(f"| {' | '.join(cells)} |")
    notes = [f"(1) {row['peer']}: {row['peer_reason']}" for row in results["rows"] if row.get("peer_reason")]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def two_processes_table(results: Results) -> str:
    lines = ["| work | one process | two | times as fast | goal |", "|---|--:|--:|--:|--:|"]
    for row in _rows(results, cores=2):
        cells = [
            row["work"].partition(",")[0],
            f"{_number(row['peer_value'])} {row['unit'].partition(',')[0]}",
        ]
        cells += [_number(row["ours"]), _number(row["ratio"]), _number(row["ratio_goal"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def extrapolation_table(results: Results) -> str:
    """Hours for mC4-ja: its size through the speed of each stage; 64 cores divide the work."""
    ours = {row["name"]: row["ours"] for row in _rows(results, cores=1)}
    speeds = {name: ours[name] for name in _STAGES if ours.get(name)}
    hours = {name: MC4_JA_MB / speed / 3600 for name, speed in speeds.items()}
    lines = ["| stage | MB/s/core | one core | 64 cores, if each is worth a whole one |", "|---|--:|--:|--:|"]
    for name, one in hours.items():
        lines.append(f"| {name} | {_number(speeds[name])} | {one:.1f} h | {_minutes(one / 64)} |")
    total = sum(hours.values())
    lines.append(f"| all | | {total:.1f} h | {_minutes(total / 64)} |")
    return "\n".join(lines)


def profile_table(results: Results) -> str:
    """Where our side spends its time: functions by the time of their own."""
    lines = ["| work | share of the time, by function |", "|---|---|"]
    profiles = {row["work"]: row["ours_profile"] for row in _rows(results, cores=1)}
    for work, profile in profiles.items():
        parts = [f"{share:.0%} `{name}`" for name, share in profile if share >= 0.03]
        lines.append(f"| {work.partition(',')[0]} | {', '.join(parts)} |")
    return "\n".join(lines)


def circumstances(results: Results) -> str:
    """When and on what it was measured."""
    machine, rows = results["machine"], results["rows"]
    dates = sorted(row["date"] for row in rows)
    loads = sorted(row["load"] for row in rows)
    return (
        f"Measured {dates[0]} to {dates[-1]} on {machine['processor']}, {machine['cores']} cores, Python "
        f"{machine['python']}; load average while it ran {loads[0]} to {loads[-1]} (1.0 is this program alone)."
    )


TABLES: dict[str, Callable[[Results], str]] = {
    "circumstances": circumstances,
    "speed": speed_table,
    "profile": profile_table,
    "two processes": two_processes_table,
    "extrapolation": extrapolation_table,
}


def all_tables(results: Results) -> str:
    return "\n\n".join(table(results) for table in TABLES.values())


def with_tables(results: Results, document: str) -> str:
    """The document with what stands between `<!-- NAME -->` and `<!-- end -->` made anew."""
    for name, table in TABLES.items():
        begin, _, rest = document.partition(f"<!-- {name} -->\n")
        _, end, rest = rest.partition("<!-- end -->")
        assert end, f"no table `{name}` in the document"
        document = f"{begin}<!-- {name} -->\n{table(results)}\n{end}{rest}"
    return document


def write_tables(results: Results, path: Path) -> None:
    path.write_text(with_tables(results, path.read_text(encoding="utf-8")), encoding="utf-8")


def _rows(results: Results, cores: int) -> list[dict[str, Any]]:
    return [row for row in results["rows"] if row["cores"] == cores]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _minutes(hours: float) -> str:
    return f"{hours * 60:.0f} min"
