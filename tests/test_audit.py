"""The audit of a cleaned source: counts from the stored measures, exact answers to what-if, clear errors."""

import shutil

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from kajiya.audit import sketch as distributions
from kajiya.audit.bounds import Bound, find_bound, labels
from kajiya.audit.histogram import axis_of, bars_of
from kajiya.audit.measures import read_measures
from kajiya.audit.summary import ALL, KEPT, summarize
from kajiya.audit.what_if import count_at, kept_at, steps, worth_trying
from kajiya.cli import app
from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT
from kajiya.shards import shard_path, write_file, write_shard
from kajiya.stage import execute
from tests.audited_source import (
    FEW,
    RULES,
    brute_force,
    document,
    document_row,
    make_project,
    many,
    page,
    source,
    write_source,
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    return make_project(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("label", "thresholds"),
    [
        ("length:min", (0, 99, 100, 101, 250, 777.5, 5000, 1e9)),
        ("length:max", (-1, 100, 1234, 4999, 5000, 5001, 60000)),
        ("kana", (-1, 0, 0.01, 0.1, 0.1999, 0.2, 0.2001, 0.34567, 0.5, 1, 2)),
        ("words", (-1, 0, 1, 1.5, 2, 3, 6, 7)),
    ],
)
def test_what_if_encloses_what_the_rules_would_keep_and_counts_exactly_on_demand(project, label, thresholds):
    documents = many(3000)
    write_source(project / "data/clean/web", [documents[:1000], documents[1000:1001], documents[1001:]])
    found = source()
    index = find_bound(found.bounds, label)
    own = steps(summarize(found.shards, found.bounds).bounds[index].sketch)
    bound = found.bounds[index]
    now = brute_force(documents, index, bound.threshold)

    for threshold in (*thresholds, *worth_trying(own, bound)):
        exact = brute_force(documents, index, threshold)
        least, most = kept_at(own, bound, threshold)
        assert count_at(found.shards, found.bounds, index, threshold).then == exact
        assert least.documents <= exact.documents <= most.documents
        assert least.chars <= exact.chars <= most.chars
        moved = max(abs(least.documents - now.documents), abs(most.documents - now.documents))
        assert most.documents - least.documents <= max(1, 0.02 * moved)
    assert kept_at(own, bound, bound.threshold) == (now, now)


def test_what_if_of_a_document_that_is_empty_or_taken_down_never_brings_it_back(project):
    write_source(
        project / "data/clean/web", [[*FEW, document("empty", text="", length=0, kana=0.5, words=0)]]
    )
    found = source()

    answer = count_at(found.shards, found.bounds, find_bound(found.bounds, "length:min"), 0)

    assert (answer.now.documents, answer.then.documents) == (2, 3)


def test_sketch_is_the_same_however_the_documents_are_split():
    draw = np.random.default_rng(3)
    values = np.concatenate([draw.lognormal(0, 4, 5000), -draw.random(500), [0.0, -0.0]])
    counts = np.stack([np.ones_like(values), draw.integers(0, 99, len(values))], axis=1).astype(np.int64)
    whole = distributions.sketch(values, values > 1, counts)

    parts = [distributions.sketch(values[i::7], values[i::7] > 1, counts[i::7]) for i in range(7)]
    merged = distributions.merge([distributions.merge(parts[:3]), distributions.merge(parts[3:])])

    assert all(np.array_equal(one, other) for one, other in zip(whole, merged, strict=True))
    assert (np.diff(whole.low) > 0).all()
    assert (whole.high - whole.low <= np.abs(whole.high) / 4096).all()
    assert whole.counts[whole.above].sum(axis=0).tolist() == counts[values > 1].sum(axis=0).tolist()
    assert len(whole.key) < len(values)


def test_quantiles_are_those_of_the_documents_within_the_sketch_precision():
    values = np.random.default_rng(5).lognormal(3, 2, 4001)
    found = distributions.sketch(values, values > 1, np.ones((len(values), 1), np.int64))

    ours = distributions.quantiles(found.low, found.counts[:, 0], (0, 0.25, 0.5, 0.99, 1))

    theirs = np.quantile(values, (0, 0.25, 0.5, 0.99, 1), method="inverted_cdf")
    assert ours == pytest.approx(theirs, rel=1 / 4096)
    assert distributions.quantiles(found.low[:0], found.counts[:0, 0], (0.5,)) == []


@pytest.mark.parametrize("label", ["length:min", "kana", "words"])
def test_histogram_counts_every_document_once_and_keeps_none_beyond_the_threshold(project, label):
    write_source(project / "data/clean/web", [many(2000)])
    found = source()
    index = find_bound(found.bounds, label)
    bound = found.bounds[index]
    own = summarize(found.shards, found.bounds).bounds[index].sketch

    axis = axis_of(own, [bound])
    bars = bars_of(own, axis)

    assert bars.documents.sum() == own.counts[:, ALL].sum() == 2000
    assert bars.kept.sum() == own.counts[:, KEPT].sum()
    beyond = bars.begin < axis.anchor - 1e-9 if bound.direction == "min" else bars.begin > axis.anchor - 1e-9
    assert bars.kept[beyond].sum() == 0
    assert bars.documents[beyond].sum() == own.counts[own.above == (bound.direction == "max"), ALL].sum()


def test_audit_of_what_the_stage_wrote_agrees_with_its_report(project):
    from components.clean import CleanSettings, run

    good = (
        "朝の市場では、港から届いた魚と近くの畑でとれた野菜が並びます。店の人は客の顔を覚えていて、"
        "その日に合う料理まで教えてくれます。昼を過ぎると通りは静かになり、猫が日なたで眠っています。"
        "夕方にもう一度だけ人が集まり、売れ残った品は少し安くなります。"
    )
    texts = [good, good[::-1], "短い。", "ア" * 200, "買う" * 100, "mail@example.org へ。" + good]
    crawled = [document_row(document(str(number), text=text), None) for number, text in enumerate(texts)]
    for number in range(2):
        write_shard(
            pa.Table.from_pylist(crawled[number::2], DOCUMENT), shard_path(project / "data/crawl/web", number)
        )
    write_file(project / "exclusions.yaml", "[{id: web:1, reason: asked, requested: 2026-01-01}]")
    report = execute(
        run,
        CleanSettings(rules="web-ja"),
        [project / "data/crawl/web", project / "exclusions.yaml"],
        project / "data/clean/web",
    )

    found = source()
    summary = summarize(found.shards, found.bounds)

    assert summary.disagreeing == 0
    assert summary.taken_down.documents == 1
    counted = {"takedown": 1}
    for bound, one in zip(found.bounds, summary.bounds, strict=True):
        counted[bound.name] = counted.get(bound.name, 0) + one.first.documents
    assert {name: count for name, count in counted.items() if count} == dict(report.flows["web"].rejected)
    assert summary.kept.documents == report.flows["web"].out == 2
    assert "短い。" in page()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            shutil.rmtree,
            "not written yet. Run the stage: `kajiya run --until clean@web`",
        ),
        (lambda folder: (folder / "rules.json").unlink(), "kept no measures. Run the stage"),
        (lambda folder: shutil.rmtree(folder / "measures"), "written without measures. Run the stage"),
        (
            lambda folder: (folder / "rules.json").write_text('[{"name": "x"}]'),
            "rules.json: 0.rule: Field required",
        ),
        (lambda folder: shard_path(folder, 1).unlink(), "not the same shards"),
        (
            lambda folder: shutil.copy(
                shard_path(folder / "measures", 0), shard_path(folder / "measures", 1)
            ),
            "runs",
        ),
        (
            lambda folder: shutil.copy(shard_path(folder, 0), shard_path(folder, 1)),
            "web:asked stands|of different runs",
        ),
    ],
    ids=["nothing", "no-rules", "no-measures", "wrong-rules", "shard-lost", "other-measures", "other-shard"],
)
def test_audit_of_an_output_that_does_not_fit_says_what_and_what_to_do(project, spoil, expected):
    folder = write_source(
        project / "data/clean/web", [FEW[:2], [*FEW[2:], document("last", length=500, kana=1, words=0)]]
    )
    spoil(folder)

    with pytest.raises(KajiyaError, match=expected):
        page()


def test_measure_that_is_no_number_is_an_error_naming_the_document(tmp_path):
    bounds = [Bound(name="x", rule="x", direction="min", threshold=0, source="own", description="")]
    table = pa.table(
        {
            "id": pa.array(["web:1", "web:2"]),
            "kept": [True, True],
            "reason": pa.array([None, None], pa.string()),
            "chars": pa.array([1, 1], pa.int64()),
            "x": [1.0, float("nan")],
        }
    )
    write_shard(table, tmp_path / "part-00000.parquet")

    with pytest.raises(KajiyaError, match="x of web:2 is no number"):
        read_measures(tmp_path / "part-00000.parquet", bounds)
    with pytest.raises(KajiyaError, match="columns do not match"):
        read_measures(tmp_path / "part-00000.parquet", [bounds[0].model_copy(update={"name": "y"})])


def test_bounds_of_a_rule_with_two_are_told_apart_by_direction():
    bounds = [
        Bound(name=n, rule=n, direction=d, threshold=t, source="own", description="") for n, d, t in RULES
    ]

    assert labels(bounds) == ["length:min", "length:max", "kana", "words"]
    with pytest.raises(KajiyaError, match=r"no bound `length` here\. There are: length:min, length:max"):
        find_bound(bounds, "length")


def kajiya(*words):
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("clean@wbe",), "no source `wbe` under `sources` in params.yaml. Did you mean clean@web?"),
        (("clean@films",), "There are: clean@web, clean@books."),
        (("clean",), "`clean` cannot be audited"),
        (("dedupe@web",), "only the clean stage leaves measures"),
        (
            ("clean@books",),
            "data/clean/books: not written yet. Run the stage: `kajiya run --until clean@books`.",
        ),
        (("clean@web", "--rule", "kana"), "--rule and --threshold belong together"),
        (("clean@web", "--rule", "kan", "--threshold", "1"), "no bound `kan` here"),
        (("clean@web", "--rule", "kana", "--threshold", "nan"), "--threshold nan: give a number."),
    ],
)
def test_command_that_cannot_be_followed_says_why(project, words, expected):
    write_source(project / "data/clean/web", [FEW])

    status, said = kajiya("audit", *words)

    assert status == 2
    assert expected in said


def test_command_writes_the_page_beside_the_output_and_says_where(project):
    write_source(project / "data/clean/web", [FEW])

    status, said = kajiya("audit", "clean@web")

    assert status == 0
    assert "Audit: data/clean/web.pages/audit.html" in said
    assert (project / "data/clean/web.pages/audit.html").stat().st_size > 1000


def test_command_asked_for_one_threshold_answers_and_writes_nothing(project):
    write_source(project / "data/clean/web", [FEW])

    status, said = kajiya("audit", "clean@web", "--rule", "kana", "--threshold", "0.15")

    assert status == 0
    assert "now: at least 0.2 2 700 at least 0.15 3 900 more or less +1 +200" in said
    assert not (project / "data/clean/web.pages").exists()
