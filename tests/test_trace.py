"""Documents are found and followed through outputs that the real stages wrote."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from corpus_folders import document
from rich.console import Console
from typer.testing import CliRunner

from components.clean import CleanSettings
from components.clean import run as run_clean
from components.decontaminate import DecontaminateSettings
from components.decontaminate import run as run_decontaminate
from components.dedupe import DedupeSettings
from components.dedupe import run as run_dedupe
from kajiya.cli import app
from kajiya.dvc_lock import folder_hash
from kajiya.errors import KajiyaError
from kajiya.exclusions import load
from kajiya.records import TOKEN_SPAN
from kajiya.shards import write_dataset, write_file
from kajiya.stage import execute
from kajiya.trace.history import family, history
from kajiya.trace.models import uses
from kajiya.trace.project import Project
from kajiya.trace.search import find
from kajiya.trace.takedown import take_down
from kajiya.trace.view import history_tree

PROSE = "鍛冶屋は朝早くから炉に火を入れ、赤くなった鉄を何度も打って包丁を作ります。村の人はその音で目を覚まします。"
OTHER = (
    "港の市場には、夜明け前から船が着きます。漁師たちは取れた魚を木の箱に並べ、料理人がそれを選びに来ます。"
)
LEAK = "川の上流にある小さな滝の名前を何と言いますか、次の五つから選びなさい"
RULES = {"documents": [{"rule": "length", "min_chars": 20}]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """web and wiki, crawled to decontaminated, and the tokens of one recipe."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAJIYA_WORKERS", "1")
        make_project(root)
    return root


@pytest.fixture
def project(finished, tmp_path, monkeypatch) -> Project:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    return Project.at(Path(shutil.copytree(finished, tmp_path / "project")))


def make_project(root: Path) -> None:
    data = root / "data"
    web = {
        "1": PROSE + "\n連絡は taro@example.org まで。",
        "2": "短い。",
        "3": OTHER,
        "4": OTHER + LEAK + "。",
    }
    write_source(data / "crawl" / "web", web)
    write_source(data / "crawl" / "wiki", {"1": OTHER})
    write_file(root / "exclusions.yaml", "[]\n")
    for source in ("web", "wiki"):
        inputs = [data / "crawl" / source, root / "exclusions.yaml"]
        execute(run_clean, CleanSettings(rules=RULES), inputs, data / "clean" / source)
    execute(run_dedupe, DedupeSettings(priority=("wiki", "web")), [data / "clean"], data / "deduped")
    question = {"q_id": 7, "question": LEAK, "label": 0} | {f"choice{i}": f"{i}番" for i in range(5)}
    sets = root / "sets" / "jcommonsenseqa" / "valid-v1.3.json"
    write_file(sets, json.dumps(question, ensure_ascii=False))
    inputs = [data / "deduped", root / "sets"]
    execute(run_decontaminate, DecontaminateSettings(), inputs, data / "decontaminated")
    write_spans(root / "models" / "mine" / "tokens", [("web:1", "web"), ("wiki:1", "wiki"), ("web:1", "web")])
    write_lock(root)


def write_source(folder: Path, texts: dict[str, str]) -> None:
    rows = [document(name, text, folder.name) for name, text in texts.items()]
    write_dataset([row | {"url": f"https://{row['source']}.example/{row['id']}"} for row in rows], folder)


def write_spans(folder: Path, documents: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"start": 10 * i, "end": 10 * i + 10, "document_id": name, "source": source}
        for i, (name, source) in enumerate(documents)
    ]
    pq.write_table(pa.Table.from_pylist(rows, TOKEN_SPAN), folder / "train.spans.parquet")
    pq.write_table(TOKEN_SPAN.empty_table(), folder / "validation.spans.parquet")


def write_lock(root: Path) -> None:
    outputs = {f"crawl@{s}": f"data/crawl/{s}" for s in ("web", "wiki")}
    outputs |= {f"clean@{s}": f"data/clean/{s}" for s in ("web", "wiki")}
    outputs |= {"dedupe": "data/deduped", "decontaminate": "data/decontaminated"}
    outputs |= {"tokenize@mine": "models/mine/tokens"}
    stages = {
        name: {"cmd": name, "outs": [{"path": path, "hash": "md5", "md5": folder_hash(root / path)}]}
        for name, path in outputs.items()
    }
    write_file(root / "dvc.lock", yaml.safe_dump({"schema": "2.0", "stages": stages}))


def outcomes(project: Project, name: str) -> dict[str, str]:
    return {step.stage.partition("@")[0]: step.outcome for step in history(project, name).steps}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("web:3", ["web:3"]),
        ("https://wiki.example/wiki:1", ["wiki:1"]),
        ("赤くなった鉄を何度も打って", ["web:1"]),
        ("連絡は <email> まで", ["web:1"]),  # as it was cleaned
        ("夜明け前から船が着きます", ["web:3", "web:4", "wiki:1"]),
    ],
)
def test_find_by_id_address_and_text_gives_the_documents(project, query, ids):
    assert find(project, query) == ids


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("web:99", "no document here has it"),
        ("https://web.example/none", "no document here has it"),
        ("鉄", "too short"),
        ("どこにもない文を探してみる", "Sources on this disk: web, wiki"),
    ],
)
def test_find_of_what_is_nowhere_is_an_error(project, query, message):
    with pytest.raises(KajiyaError, match=message):
        find(project, query)


def test_history_of_a_kept_document_names_every_stage(project):
    assert outcomes(project, "web:1") == dict.fromkeys(("crawl", "clean", "dedupe", "decontaminate"), "kept")
    crawl, clean = history(project, "web:1").steps[:2]
    assert (crawl.facts["license"], crawl.facts["url"]) == ("CC0-1.0", "https://web.example/web:1")
    assert float(clean.facts["length"]) == pytest.approx(len(PROSE), abs=20)


def test_history_of_a_rejected_document_ends_with_rule_value_and_threshold(project):
    last = history(project, "web:2").steps[-1]
    assert (last.stage, last.outcome) == ("clean@web", "rejected")
    assert (last.facts["reason"], last.facts["value"], last.facts["threshold"]) == ("length", "3", "20")


def test_history_of_a_copy_leads_to_the_document_that_stays(project):
    assert history(project, "web:3").stands_in == "wiki:1"
    assert history(project, "wiki:1").stands_for == ["web:3"]
    assert family(project, "web:3") == ["web:3", "wiki:1"]
    assert family(project, "wiki:1") == ["wiki:1", "web:3"]


def test_history_of_a_leaked_item_names_it(project):
    last = history(project, "web:4").steps[-1]
    assert (last.stage, last.outcome) == ("decontaminate", "rejected")
    assert last.facts["because of"].startswith("jcommonsenseqa/valid-v1.3:7")


def test_uses_name_the_spans_of_every_repetition(project):
    (use,) = uses(project, ["web:1"])
    assert [(span.split, span.start, span.end) for span in use.spans] == [("train", 0, 10), ("train", 20, 30)]


@pytest.mark.parametrize(
    ("config", "cache"),
    [
        ({}, ".dvc/cache"),
        (
            {"config": "[core]\n    remote = depot\n['remote \"depot\"']\n    url = s3://depot/%2F\n"},
            ".dvc/cache",
        ),
        ({"config": "[cache]\n    dir = ../shared/cache  # of all\n    type = hardlink\n"}, "shared/cache"),
        ({"config": "[cache]\n    dir = no\n", "config.local": "[cache]\n    dir = {root}/mine\n"}, "mine"),
    ],
)
def test_uses_of_tokens_that_only_the_cache_holds_are_found_there(project, config, cache):
    for name, text in config.items():
        write_file(project.root / ".dvc" / name, text.replace("{root}", str(project.root)))
    move_tokens_to_cache(project, project.root / cache / "files" / "md5")
    assert [len(use.spans) for use in uses(project, ["web:1"])] == [2]


def test_listing_in_the_cache_without_the_spans_is_an_error_that_names_it(project):
    cache = project.root / ".dvc" / "cache" / "files" / "md5"
    move_tokens_to_cache(project, cache)
    state = project.stages["tokenize@mine"].outputs[0].hash
    write_file(cache / state[:2] / state[2:], "[]")
    with pytest.raises(KajiyaError, match=r"\.dir: no listing of a folder that holds train\.spans\.parquet"):
        uses(project, ["web:1"])


def move_tokens_to_cache(project: Project, cache: Path) -> None:
    folder = project.root / "models" / "mine" / "tokens"
    entries = [{"md5": f"{i}" * 32, "relpath": file.name} for i, file in enumerate(sorted(folder.iterdir()))]
    for entry in entries:
        write_file(cache / entry["md5"][:2] / entry["md5"][2:], (folder / entry["relpath"]).read_bytes())
        (folder / entry["relpath"]).unlink()
    state = project.stages["tokenize@mine"].outputs[0].hash
    write_file(cache / state[:2] / state[2:], json.dumps(entries))


def test_uses_of_tokens_that_are_nowhere_are_unknown_and_not_none(project):
    for file in (project.root / "models" / "mine" / "tokens").iterdir():
        file.unlink()
    assert [use.spans for use in uses(project, ["web:1"])] == [None]


def test_tree_shows_what_became_of_a_copy(project):
    console = Console(width=120, record=True)
    console.print(history_tree(history(project, "web:3"), uses(project, ["web:3", "wiki:1"])))
    shown = console.export_text()
    assert "stays in its place: wiki:1" in shown
    assert "train.npy[10:20]" in shown


def test_takedown_of_a_copy_excludes_the_one_that_stays_too(project):
    done = take_down(project, ["web:3"], "asked by its author", every_match=False)
    assert done.documents == ["web:3", "wiki:1"]
    assert list(load(project.root / "exclusions.yaml")) == ["web:3", "wiki:1"]
    assert [span.document for span in done.uses[0].spans] == ["wiki:1"]
    again = take_down(project, ["web:3"], "asked by its author", every_match=False)
    assert again.new == []


def test_takedown_where_the_copies_are_not_on_this_disk_is_refused_and_writes_nothing(project):
    shutil.rmtree(project.root / "data" / "deduped")
    with pytest.raises(KajiyaError, match=r"web:3: which copies .*`dvc checkout data/deduped`"):
        take_down(project, ["web:3"], "asked by its author", every_match=False)
    assert load(project.root / "exclusions.yaml") == {}


def test_trace_where_the_copies_are_not_on_this_disk_says_that_it_does_not_know(project):
    shutil.rmtree(project.root / "data" / "deduped")
    console = Console(width=120, record=True)
    console.print(history_tree(history(project, "wiki:1"), []))
    assert "copies: unknown, the output of dedupe is not on this disk" in console.export_text()


def test_takedown_before_dedupe_ever_ran_says_that_copies_are_unknown(project, monkeypatch):
    monkeypatch.chdir(project.root)
    lock = yaml.safe_load((project.root / "dvc.lock").read_text())
    del lock["stages"]["dedupe"]
    write_file(project.root / "dvc.lock", yaml.safe_dump(lock))
    done = CliRunner().invoke(app, ["takedown", "web:3", "--reason", "asked"])
    assert done.exit_code == 0
    assert "copies of these documents are unknown" in done.output
    assert list(load(project.root / "exclusions.yaml")) == ["web:3"]


def test_takedown_of_words_in_several_documents_writes_nothing_until_all_are_meant(project):
    before = (project.root / "exclusions.yaml").read_text()
    with pytest.raises(KajiyaError, match="3 documents match"):
        take_down(project, ["夜明け前から船が着きます"], "asked", every_match=False)
    assert (project.root / "exclusions.yaml").read_text() == before
    done = take_down(project, ["夜明け前から船が着きます"], "asked", every_match=True)
    assert set(done.documents) == {"web:3", "web:4", "wiki:1"}


def test_commands_trace_and_take_down(project, monkeypatch):
    monkeypatch.chdir(project.root)
    shown = CliRunner().invoke(app, ["trace", "https://web.example/web:3"]).output
    assert "stays in its place: wiki:1" in shown
    done = CliRunner().invoke(app, ["takedown", "web:3", "--reason", "asked"])
    assert "Left out from now on: web:3, wiki:1" in done.output
    assert "No registered model has learnt them" in done.output
    assert (project.root / "exclusions.yaml").read_text().count("requested") == 3  # one stands in the heading


def test_next_run_after_a_takedown_leaves_the_document_out(project):
    take_down(project, ["web:1"], "asked by its author", every_match=False)
    inputs = [project.root / "data/crawl/web", project.root / "exclusions.yaml"]
    execute(run_clean, CleanSettings(rules=RULES), inputs, project.root / "data/clean/web")
    step = history(project, "web:1").steps[1]
    assert (step.outcome, step.facts["reason"], step.facts["because of"]) == (
        "rejected",
        "takedown",
        "asked by its author",
    )
