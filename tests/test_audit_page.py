"""The page of an audit: what it shows, that it is safe and whole, and that it answers in a browser."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kajiya.audit.page import write_audit
from kajiya.workplace import beside
from tests.audited_source import (
    FEW,
    brute_force,
    document,
    make_project,
    many,
    page,
    source,
    write_source,
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    return make_project(tmp_path, monkeypatch)


def rows(text):
    """Every table row as the list of its cells' words."""
    found = []
    for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL):
        cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL)
        found.append([html.unescape(re.sub(r"<.*?>", "", cell)).strip() for cell in cells])
    return found


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
