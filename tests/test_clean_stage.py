"""The clean stage on folders: what is kept, what is rejected with which value, what is measured."""

from pathlib import Path

import pytest
from clean_texts import OTHER_PROSE, PROSE
from corpus_folders import kept, output_bytes, rejected, write_source

from components.clean import CleanSettings, run
from kajiya.errors import KajiyaError
from kajiya.settings import load_settings
from kajiya.stage import execute

EXCLUSIONS = Path(__file__).parents[1] / "exclusions.yaml"


def test_clean_keeps_every_document_in_out_or_rejected(tmp_path: Path):
    texts = {
        "a": "　連絡：a@example.com\r\n" + PROSE,
        "b": "短い。",
        "c": "トップページ\nホーム",
        "d": OTHER_PROSE,
    }
    source = write_source(tmp_path / "crawl" / "web", texts)
    out = tmp_path / "clean" / "web"
    report = execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], out)
    assert kept(out) == {"web:a": "連絡：<email>\n" + PROSE, "web:d": OTHER_PROSE}
    assert rejected(out)["web:b"] == ("length", "3")
    assert rejected(out)["web:c"] == ("length", "0")
    flow = report.flows["web"]
    assert (flow.came_in, flow.out + flow.rejected.total()) == (4, 4)
    assert report.figures["masked"] == {"address": 0, "card": 0, "email": 1, "mynumber": 0, "phone": 0}
    assert report.figures["lines"]["navigation"] == 2


def test_clean_with_more_workers_writes_the_same_bytes(tmp_path: Path, monkeypatch):
    texts = {str(i): f"{i}番目の文書です。{PROSE if i % 3 else '短い。'}" for i in range(30)}
    source = write_source(tmp_path / "crawl" / "web", texts, shard_bytes=1500)
    outputs = []
    for workers in ("1", "2"):
        monkeypatch.setenv("KAJIYA_WORKERS", workers)
        out = tmp_path / workers / "web"
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], out)
        outputs.append(output_bytes(out))
    assert len(outputs[0]) > 4
    assert outputs[0] == outputs[1]


def test_clean_of_an_empty_source_says_which(tmp_path: Path):
    source = write_source(tmp_path / "crawl" / "web", {})
    with pytest.raises(KajiyaError, match="crawl/web: holds no documents"):
        execute(run, CleanSettings(rules="web-ja"), [source, EXCLUSIONS], tmp_path / "clean" / "web")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{rules: web-jp}", "clean.web.rules: no rule set of this name, known are: web-ja"),
        ("{rules: {documents: [{rule: length, min_char: 3}]}}", "min_char: unknown setting"),
        ("{}", "clean.web.rules: must be given"),
    ],
)
def test_clean_with_a_wrong_setting_names_file_line_and_key(tmp_path: Path, section, message):
    params = tmp_path / "params.yaml"
    params.write_text(f"clean:\n  web: {section}\n", encoding="utf-8")
    with pytest.raises(KajiyaError) as error:
        load_settings(CleanSettings, params, ["clean", "web"])
    assert message in str(error.value)
    assert "params.yaml:2" in str(error.value)


def test_clean_with_an_own_rule_list_uses_that_alone(tmp_path: Path):
    params = tmp_path / "params.yaml"
    params.write_text("clean: {web: {rules: {documents: [{rule: length, min_chars: 3}]}}}", encoding="utf-8")
    config = load_settings(CleanSettings, params, ["clean", "web"])
    source = write_source(tmp_path / "crawl" / "web", {"a": "abc", "b": "ab"})
    execute(run, config, [source, EXCLUSIONS], tmp_path / "out")
    assert (list(kept(tmp_path / "out")), rejected(tmp_path / "out")) == (
        ["web:a"],
        {"web:b": ("length", "2")},
    )
