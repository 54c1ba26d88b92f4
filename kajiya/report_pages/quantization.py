"""What fewer bits saved, and what they cost."""

from kajiya.comparison import Comparison
from kajiya.html_page import number
from kajiya.report_pages.against import comparison_with_parent
from kajiya.report_pages.blocks import Block, Section, Table, Text
from kajiya.report_pages.records import Records, Row
from kajiya.report_pages.words import Words


def quantization_section(records: Records, words: Words) -> Section:
    figures = {
        name: made.report.figures
        for name, made in records.models.items()
        if "bytes_before" in made.report.figures
    }
    if not figures:
        key = "absent_quantization_other" if records.subject else "absent_quantization"
        return Section("quantization", words("quantization"), [Text(words(key), soft=True)])
    blocks: list[Block] = [_sizes(figures, words), Text(words("embeddings_note"), soft=True)]
    notes = [Text(words(key), soft=True) for key in ("weight_error_note", "perplexity_not_decisive")]
    blocks += [_errors(records, figures, words), *notes]
    return Section("quantization", words("quantization"), blocks)


def _sizes(figures: dict[str, Row], words: Words) -> Table:
    rows = [
        [
            name,
            _method(one),
            number(one["bytes_before"]),
            number(one["bytes_after"]),
            words("times_smaller", times=f"{one['bytes_before'] / one['bytes_after']:.2f}"),
            words("times_smaller", times=_without_embeddings(one)),
            number(one.get("bytes_embeddings_before")),
            number(one.get("bytes_embeddings_after")),
            number(one.get("bits_per_weight")),
        ]
        for name, one in figures.items()
    ]
    keys = ["variant", "method", "bytes_before", "bytes_after", "smaller_by", "smaller_without"]
    keys += ["embeddings_before", "embeddings_after", "bits_per_weight"]
    return Table([words(key) for key in keys], rows, numeric=frozenset(range(2, 9)))


def _without_embeddings(figures: Row) -> str:
    """What the method did: embeddings keep their precision, and are most of a small model."""
    kept = [figures.get(f"bytes_embeddings_{when}", 0) for when in ("before", "after")]
    return f"{(figures['bytes_before'] - kept[0]) / (figures['bytes_after'] - kept[1]):.2f}"


def _errors(records: Records, figures: dict[str, Row], words: Words) -> Table:
    rows = [
        [
            name,
            number(one.get("weight_error_mean")),
            _worst(one.get("weight_error")),
            number(one.get("kl_divergence")),
            number(one.get("perplexity_full")),
            number(one.get("perplexity_quantized")),
            _drop(records, name),
        ]
        for name, one in figures.items()
    ]
    keys = (
        "variant",
        "weight_error",
        "worst_layer",
        "kl_divergence",
        "perplexity_full",
        "perplexity_quantized",
        "mean_difference",
    )
    return Table([words(key) for key in keys], rows, numeric=frozenset({1, 3, 4, 5, 6}))


def _drop(records: Records, variant: str) -> str:
    """Of the mean over all tasks, in points: the measure that tells whether abilities were lost."""
    found = comparison_with_parent(records, variant)
    if not isinstance(found, Comparison):
        return "–"
    suite = found.suite("all")
    if suite.difference is None or suite.interval is None:
        return "–"
    return f"{suite.difference:+.1f} ({suite.interval.low:+.1f} – {suite.interval.high:+.1f})"


def _method(figures: Row) -> str:
    group = figures.get("group_size")
    return f"{figures.get('method', '–')}{f', {group}' if group else ''}"


def _worst(errors: object) -> str:
    """The layer that lost most; one bad layer hides in a mean."""
    if not isinstance(errors, dict) or not errors:
        return "–"
    name = max(errors, key=lambda layer: errors[layer])
    return f"{name.removeprefix('model.')}: {number(errors[name])}"
