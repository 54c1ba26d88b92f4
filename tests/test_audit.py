"""The audit of a cleaned source: every count from the stored measures, and an exact answer to what-if."""

import html
import json
import random
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from kajiya.audit import sketch as distributions
from kajiya.audit.bounds import Bound, find_bound, labels
from kajiya.audit.histogram import axis_of, bars_of
from kajiya.audit.measures import read_measures
from kajiya.audit.page import write_audit
from kajiya.audit.source import find_source
from kajiya.audit.summary import ALL, KEPT, Tally, summarize
from kajiya.audit.what_if import count_at, kept_at, steps, worth_trying
from kajiya.cli import app
from kajiya.errors import KajiyaError
from kajiya.records import DOCUMENT, REJECTED
from kajiya.report import Flow, Report
from kajiya.shards import shard_path, write_file, write_shard
from kajiya.stage import execute
from kajiya.workplace import beside

ROOT = Path(__file__).parent.parent
RULES = [("length", "min", 100.0), ("length", "max", 5000.0), ("kana", "min", 0.2), ("words", "max", 2.0)]


def document(name, text="本文です。", taken=False, title=None, url=None, **values):
    """A document as the measures know it, with its text."""
    return {"id": f"web:{name}", "text": text, "taken": taken, "title": title, "url": url, "values": values}


def why(one, rules):
    """The reason of a document, worked out a second time: the first bound in the order that it fails."""
    if one["taken"]:
        return "takedown"
    for name, direction, threshold in rules:
        value = one["values"][name]
        if value < threshold if direction == "min" else value > threshold:
            return name
    return None


def write_source(folder, shards, rules=RULES):
    """What the clean stage leaves of documents with these values. shards: lists of documents."""
    names = list(dict.fromkeys(name for name, _, _ in rules))
    write_file(
        folder / "rules.json",
        json.dumps(
            [
                {
                    "name": n,
                    "rule": n,
                    "direction": d,
                    "threshold": t,
                    "source": "own",
                    "description": f"About {n}.",
                }
                for n, d, t in rules
            ]
        ),
    )
    flow = Flow()
    for number, documents in enumerate(shards):
        reasons = [why(one, rules) for one in documents]
        flow.came_in += len(documents)
        flow.rejected.update(reason for reason in reasons if reason)
        flow.out += reasons.count(None)
        columns = {
            "id": pa.array([one["id"] for one in documents], pa.string()),
            "kept": pa.array([reason is None for reason in reasons], pa.bool_()),
            "reason": pa.array(reasons, pa.string()),
            "chars": pa.array([len(one["text"]) for one in documents], pa.int64()),
        }
        columns |= {n: pa.array([float(one["values"][n]) for one in documents], pa.float64()) for n in names}
        write_shard(pa.table(columns), shard_path(folder / "measures", number))
        rows = [_row(one, reason) for one, reason in zip(documents, reasons, strict=True)]
        kept = [row for row in rows if row["reason"] is None]
        gone = [row for row in rows if row["reason"] is not None]
        write_shard(pa.Table.from_pylist(kept, DOCUMENT), shard_path(folder, number))
        write_shard(pa.Table.from_pylist(gone, REJECTED), shard_path(folder / "rejected", number))
    figures = {"lines": {"navigation": 4}, "masked": {"email": 3, "phone": 1}}
    report = Report(flows={"web": flow}, figures=figures)
    write_file(beside(folder, "report"), report.model_dump_json())
    return folder


def _row(one, reason):
    return {
        **{key: one[key] for key in ("id", "title", "url")},
        "text": "" if one["taken"] else one["text"],
        "source": "web",
        "license": "CC0-1.0",
        "generator": "human",
        "language": "ja",
        "reason": reason,
        "detail": "",
    }


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The root of a project with two sources; nothing has run yet."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    (tmp_path / "params.yaml").write_text(
        "sources:\n  web: {input: data/web}\n  books: {input: data/books}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    return tmp_path


def source(name="web"):
    return find_source(f"clean@{name}", Path("dvc.yaml"), Path("params.yaml"))


def page():
    return write_audit(source(), Path("dvc.lock")).read_text(encoding="utf-8")


def rows(text):
    """Every table row as the list of its cells' words."""
    found = []
    for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL):
        cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL)
        found.append([html.unescape(re.sub(r"<.*?>", "", cell)).strip() for cell in cells])
    return found


FEW = [
    document("good", length=300, kana=0.5, words=0, text="あ" * 300),
    document("best", length=400, kana=0.6, words=1, text="い" * 400),
    document("short", length=40, kana=0.5, words=0, text="う" * 40),
    document("short-and-bad", length=50, kana=0.1, words=9, text="え" * 50),
    document("kanji", length=200, kana=0.15, words=0, text="漢" * 200),
    document("asked", taken=True, length=999, kana=0.19, words=2, text="秘" * 999),
]


def test_funnel_tells_first_failures_all_failures_and_those_of_one_bound_alone(project):
    write_source(project / "data/clean/web", [FEW[:3], FEW[3:]])

    funnel = page().partition('id="rules"')[0]
    table = [row[:3] + row[4:] for row in rows(funnel)]

    assert table[1:] == [
        ["takedown", "", "6", "1", "16.7 %", "999", "", "", ""],
        ["length:min", "≥ 100", "5", "2", "40.0 %", "90", "2", "1", "40"],
        ["length:max", "≤ 5,000", "3", "0", "0.0 %", "0", "0", "0", "0"],
        ["kana", "≥ 0.2", "3", "1", "33.3 %", "200", "2", "1", "200"],
        ["words", "≤ 2", "2", "0", "0.0 %", "0", "1", "0", "0"],
        ["empty", "", "2", "0", "0.0 %", "0", "", "", ""],
        ["kept, rejected in all", "", "2", "4", "66.7 %", "1,289", "", "", ""],
    ]


def test_table_without_script_tells_what_other_thresholds_would_keep(project):
    write_source(project / "data/clean/web", [FEW])

    table = rows(page())

    assert ["0.2", "2", "as it is", "700", ""] in table
    assert ["0.15", "3", "+1", "900", "+200"] in table
    assert ["0.6", "1", "−1", "400", "−300"] in table
    assert ["without it", "3", "+1", "900", "+200"] in table


def many(count, seed=7):
    """Documents with values on, near and far from every threshold."""
    draw = random.Random(seed)
    return [
        document(
            str(number),
            length=int(draw.lognormvariate(6, 1.5)),
            kana=draw.choice([0.0, 0.2, 0.5, draw.random(), draw.random() / 4]),
            words=draw.choice([0, 0, 0, 1, 2, 3, 7]),
            text="字" * draw.randint(1, 60),
        )
        for number in range(count)
    ]


def brute_force(documents, index, threshold):
    """Documents and characters kept with one threshold replaced."""
    rules = [(n, d, threshold if i == index else t) for i, (n, d, t) in enumerate(RULES)]
    kept = [one for one in documents if why(one, rules) is None]
    return Tally(len(kept), sum(len(one["text"]) for one in kept))


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


@pytest.mark.parametrize(
    ("values", "threshold"),
    [([0.0] * 5, 0.01), ([7.0], 7.0), ([0.0, 1e6], 3.0), ([-2.5, 3.5], 0.0), ([0.0, 1.0], 0.0)],
)
@pytest.mark.parametrize("direction", ["min", "max"])
def test_page_draws_measures_of_any_shape(project, values, threshold, direction):
    documents = [document(str(number), x=value) for number, value in enumerate(values)]
    write_source(project / "data/clean/web", [documents], [("x", direction, threshold)])

    assert page().count('class="threshold" x1=') == 1


def test_page_shows_the_nearest_documents_on_both_sides_of_a_threshold(project):
    near = [document(f"near-{n}", length=n, kana=0.5, words=0) for n in (*range(90, 110), 120, 5)]
    far = [document(f"far-{n}", length=1000 + n, kana=0.5, words=0) for n in range(40)]
    also = [document("also", length=99, kana=0.0, words=0)]
    write_source(project / "data/clean/web", [far + near[::2], near[1::2] + also])

    section = page().partition('id="rule-length"')[2].partition("at most 5,000</h4>")[0]

    above, below = section.split("above this line they pass, below they fail")
    assert re.findall(r"near-(\d+)", above) == ["105", "104", "103", "102", "101", "100"]
    assert re.findall(r"near-(\d+)", below)[:6] == ["99", "98", "97", "96", "95", "94"]
    assert "far-" not in section
    assert "web:also" not in below.partition("drawn by lot")[0]


def test_page_marks_a_document_that_fails_other_bounds_too(project):
    write_source(project / "data/clean/web", [FEW])

    text = page()

    assert re.search(r"web:short-and-bad.*?fails kana.*?fails words", text, re.DOTALL)


def test_page_escapes_what_documents_say_and_shows_no_document_taken_down(project):
    text = "<script>alert('本文')</script>\n次の行"
    documents = [
        *FEW,
        document("evil", text=text, title="<b>題", url="https://e.org/?a=1&b=<", length=99, kana=1, words=0),
    ]
    write_source(project / "data/clean/web", [documents])

    found = page()

    assert "&lt;script&gt;alert(&#39;本文&#39;)&lt;/script&gt; ↵ 次の行" in found
    assert "&lt;b&gt;題" in found
    assert "https://e.org/?a=1&amp;b=&lt;" in found
    assert 'lang="ja"' in found
    assert "秘" not in found
    assert "web:asked" not in found


class Addresses(HTMLParser):
    """Whatever an element would load."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_page_loads_nothing_from_anywhere(project):
    write_source(project / "data/clean/web", [FEW])

    text = page()

    parser = Addresses()
    parser.feed(text)
    assert parser.found
    assert all(address.startswith("#") for address in parser.found)
    assert not re.search(r"@import|url\((?!#)", text)


def test_page_is_the_same_from_one_worker_and_from_two(project, monkeypatch):
    documents = many(60)
    write_source(project / "data/clean/web", [documents[:20], documents[20:50], documents[50:]])
    first = page()

    monkeypatch.setenv("KAJIYA_WORKERS", "2")

    assert page() == first
    assert str(project) not in first


def test_page_counts_lines_removed_and_personal_data_masked(project):
    write_source(project / "data/clean/web", [FEW])

    table = rows(page())

    assert ["navigation", "4"] in table
    assert ["email", "3"] in table


def test_page_of_a_source_without_rules_or_documents_says_so(project):
    write_source(project / "data/clean/web", [[]], [])
    assert "The rule set of this source has no rules." in page()

    write_source(project / "data/clean/web", [[]])
    assert "No document was measured." in page()


def test_page_warns_where_reasons_are_not_what_values_and_bounds_give(project):
    folder = write_source(project / "data/clean/web", [FEW])
    bounds = json.loads((folder / "rules.json").read_text())
    bounds[2]["threshold"] = 0.55
    (folder / "rules.json").write_text(json.dumps(bounds))

    assert "1 documents carry another reason" in page()


def test_page_names_settings_and_hashes_of_the_run_that_dvc_lock_records(project):
    folder = write_source(project / "data/clean/web", [FEW])
    assert "dvc.lock does not record this run" in page()
    report = beside(folder, "report")
    digest = subprocess.run(["md5sum", report], check=True, capture_output=True, text=True).stdout.split()[0]
    (project / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  clean@web:\n    cmd: x\n"
        "    deps:\n    - {path: data/crawl/web, hash: md5, md5: aaaa.dir}\n"
        "    params: {params.yaml: {clean.web: {rules: web-ja}}}\n"
        "    outs:\n    - {path: data/clean/web, hash: md5, md5: bbbb.dir}\n"
        f"    - {{path: data/clean/web.report.json, hash: md5, md5: {digest}}}\n"
    )

    table = rows(page())

    assert ["settings", "{rules: web-ja}"] in table
    assert ["output", "data/clean/web bbbb.dir"] in table
    assert ["made from", "data/crawl/web aaaa.dir"] in table


def test_audit_of_what_the_stage_wrote_agrees_with_its_report(project):
    from components.clean import CleanSettings, run

    good = (
        "朝の市場では、港から届いた魚と近くの畑でとれた野菜が並びます。店の人は客の顔を覚えていて、"
        "その日に合う料理まで教えてくれます。昼を過ぎると通りは静かになり、猫が日なたで眠っています。"
        "夕方にもう一度だけ人が集まり、売れ残った品は少し安くなります。"
    )
    texts = [good, good[::-1], "短い。", "ア" * 200, "買う" * 100, "mail@example.org へ。" + good]
    crawled = [_row(document(str(number), text=text), None) for number, text in enumerate(texts)]
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


BROWSER = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)


@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome to open the page in")
def test_page_answers_in_a_browser_as_the_rules_would(project):
    documents = many(400)
    write_source(project / "data/clean/web", [documents])
    path = write_audit(source(), Path("dvc.lock")).absolute()
    exact = brute_force(documents, 3, 3)
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
    ]

    dom = subprocess.run(
        [BROWSER, *options, f"--user-data-dir={project / 'browser'}", "--dump-dom", f"file://{path}#words=3"],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip

    outputs = dict(re.findall(r'data-bound="([^"]*)">.*?<output>(.*?)</output>', dom, re.DOTALL))
    assert outputs["words"].startswith(f"{exact.documents:,} documents kept (+")
    assert f"{exact.chars:,} characters kept" in outputs["words"]
    now = brute_force(documents, 3, 2)
    assert outputs["kana"].startswith(f"{now.documents:,} documents kept (+0)")


def test_page_says_which_scales_are_logarithmic(project):
    values = [0] * 400 + [1, 2, 4.5, 90, 5000]
    documents = [document(str(number), x=value) for number, value in enumerate(values)]
    write_source(project / "data/clean/web", [documents], [("x", "max", 4.5)])

    assert "logarithmic: documents, values" in page()
