"""What it took: time, processor, memory, accelerators and money, per stage."""

from collections.abc import Iterator

from kajiya.html_page import number
from kajiya.report_pages.blocks import Bar, Block, Cell, Section, Table, Text
from kajiya.report_pages.records import Made, Records
from kajiya.report_pages.words import Words
from kajiya.run_record import PRICE, hour_price, read_price

_ON_ACCELERATORS = ("pretrain", "sft", "dpo", "quantize", "evaluate", "answer")


def costs_section(records: Records, words: Words) -> Section:
    timed = [made for made in records.stages if made.run.get("seconds") is not None]
    blocks: list[Block] = []
    if timed:
        prices = [price_of(made) for made in timed]
        blocks += [Text(words("costs_about")), _table(records, timed, words), *_money(timed, prices, words)]
        if left_out := [made.name for made in records.stages if made not in timed]:
            blocks.append(Text(words("untimed", stages=", ".join(left_out)), soft=True))
    else:
        blocks.append(Text(words("absent_costs_version" if records.subject else "absent_costs"), soft=True))
    return Section("costs", words("costs"), [*blocks, *_judging(records, words)])


def price_of(made: Made) -> tuple[float, str] | None:
    """What the stage's run cost: the price of an hour as it was set then, else as it is set now."""
    price = made.run.get("hour_price") or hour_price()
    if not price:
        return None
    amount, currency = read_price(price)
    return amount * made.run["seconds"] / 3600, currency


def accelerator_hours(records: Records, made: Made) -> float:
    """Devices that worked, times hours. Only pretraining takes more than one: as many as it has ranks."""
    if made.kind not in _ON_ACCELERATORS or not made.run.get("accelerators"):
        return 0.0
    ranks = [row.get("ranks") for row in records.of_run(made, "history.jsonl")]
    last = next((count for count in reversed(ranks) if count), 1)
    return float(min(last, made.run["accelerators"]) * made.run["seconds"] / 3600)


def _table(records: Records, timed: list[Made], words: Words) -> Table:
    longest = max(made.run["seconds"] for made in timed) or 1
    rows: list[list[Cell]] = [
        [
            made.name,
            f"{made.run['seconds']:.1f}",
            Bar(made.run["seconds"] / longest),
            _hours(made.run.get("cpu_seconds", 0) / 3600),
            _hours(accelerator_hours(records, made)),
            _gigabytes(made.run.get("peak_memory_bytes")),
            _price(price_of(made)),
        ]
        for made in timed
    ]
    rows.append(
        [
            words("all_stages"),
            f"{sum(made.run['seconds'] for made in timed):.1f}",
            "",
            _hours(sum(made.run.get("cpu_seconds", 0) for made in timed) / 3600),
            _hours(sum(accelerator_hours(records, made) for made in timed)),
            _gigabytes(max(made.run.get("peak_memory_bytes") or 0 for made in timed)),
            "",
        ]
    )
    keys = ("stage", "seconds", "", "cpu_hours", "accelerator_hours", "peak_memory", "cost")
    head = [words(key) if key else "" for key in keys]
    return Table(
        head, rows, numeric=frozenset({1, 3, 4, 5, 6}), totals=frozenset({len(rows) - 1}), small=True
    )


def _money(timed: list[Made], prices: list[tuple[float, str] | None], words: Words) -> Iterator[Block]:
    """Sums per currency: amounts in different ones do not add up."""
    totals: dict[str, float] = {}
    for price in prices:
        if price:
            totals[price[1]] = totals.get(price[1], 0.0) + price[0]
    if not totals:
        yield Text(words("no_price", variable=PRICE), soft=True)
        return
    told = ", ".join(_price((amount, currency)) for currency, amount in totals.items())
    yield Text(words("money", amounts=told))
    if any(price is None for price in prices):
        unpriced = ", ".join(made.name for made, price in zip(timed, prices, strict=True) if price is None)
        yield Text(words("unpriced", stages=unpriced), soft=True)


def _judging(records: Records, words: Words) -> Iterator[Block]:
    """Tokens that a judge was asked for, and what they cost."""
    for variant in records.shown:
        scores = records.read(records.of(variant, "judgements", "scores.json"))
        cost = scores.get("usage") if isinstance(scores, dict) else None
        if isinstance(cost, dict):
            tokens = [(words(key), cost.get(key)) for key in ("prompt_tokens", "completion_tokens")]
            told = ", ".join(f"{name} {number(count)}" for name, count in tokens)
            if cost.get("cost") is not None:
                told += f", {_price((cost['cost'], cost.get('currency', '')))}"
            yield Text(words("judge_cost", variant=variant, figures=told))


def _hours(hours: float) -> str:
    return "–" if not hours else f"{hours:,.4f}" if hours < 1 else f"{hours:,.1f}"


def _gigabytes(size: int | None) -> str:
    return f"{size / 1e9:.2f} GB" if size else "–"


def _price(price: tuple[float, str] | None) -> str:
    if price is None:
        return "–"
    amount, currency = price
    return f"{amount:,.2f} {currency}".strip() if amount >= 0.01 else f"{amount:.4f} {currency}".strip()
