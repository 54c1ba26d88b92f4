"""Wikipedia dumps: their XML in any form, read in any pieces, continued after a crash."""

import bz2

import pytest
from crawl_world import Source, output_bytes, page, serve_source, wikipedia_files
from pydantic import TypeAdapter

from components.crawl import dump, run, wikipedia
from components.crawl.dump import read_pages
from components.crawl.dump_xml import Page, pages_of, split_pages
from components.crawl.settings import CrawlSettings
from kajiya.errors import KajiyaError
from kajiya.stage import execute

SETTINGS = {"connector": "wikipedia", "wiki": "jawiki", "date": "20260101"}
BODY = (
    "<ns>0</ns><id>7</id><revision><id>9</id><timestamp>2026-01-02T03:04:05Z</timestamp>{}</revision></page>"
)


def parse(xml, tmp_path):
    return list(pages_of([xml.encode()], tmp_path / "dump.xml.bz2"))


@pytest.mark.parametrize(
    ("xml", "title", "wikitext"),
    [
        ("<page><title>甲</title>" + BODY.format("<text>乙</text>"), "甲", "乙"),
        (
            "<page><title>A &amp; B</title>" + BODY.format("<text>&lt;br&gt;&amp;lt;</text>"),
            "A & B",
            "<br>&lt;",
        ),
        ("<page><title>甲</title>" + BODY.format('<text bytes="0" sha1="x" />'), "甲", ""),
        (
            "<page><title>甲</title>" + BODY.format('<text bytes="3" xml:space="preserve">乙</text>'),
            "甲",
            "乙",
        ),
        # Forms that the dumps do not have, but XML allows.
        ("<page><title>&#x7532;</title>" + BODY.format("<text>&#20057;&apos;</text>"), "甲", "乙'"),
        ("<page><title>甲</title>" + BODY.format("<text><![CDATA[<br>]]></text>"), "甲", "<br>"),
        (
            "<page><id>7</id><title>甲</title><ns>0</ns><revision><text>乙</text></revision></page>",
            "甲",
            "乙",
        ),
    ],
    ids=["plain", "escapes", "no-text", "attributes", "references", "cdata", "order"],
)
def test_page_in_any_form_of_xml_is_the_same_page(tmp_path, xml, title, wikitext):
    (found,) = parse(xml, tmp_path)
    assert (found.id, found.title, found.namespace, found.wikitext) == ("7", title, "0", wikitext)


def test_page_of_the_dump_form_has_all_its_fields(tmp_path):
    (found,) = parse(page(5, "A &", "本文", namespace=10, redirect="B"), tmp_path)
    assert found == Page("5", "A &", "10", "B", "2025-12-06T00:00:00Z", "本文")


@pytest.mark.parametrize(
    "xml",
    [
        "<page><title>甲</title></page>",
        "<page><title>甲</title><ns>0</ns>",
        "<page><title>&nbsp;</title></page>",
    ],
    ids=["no-revision", "cut", "entity"],
)
def test_page_without_its_fields_is_named(tmp_path, xml):
    with pytest.raises(KajiyaError, match=r"dump\.xml\.bz2: the dump is cut off or damaged"):
        parse(xml, tmp_path)


def test_split_pages_leaves_the_unfinished_one_for_the_next_block():
    pages, rest = split_pages(b"<x/> <page>1</page>\n<page>2</page> <page>3</pa")
    assert pages == [b"<page>1</page>", b"<page>2</page>"]
    assert rest == b" <page>3</pa"


@pytest.mark.parametrize("block_bytes", [1, 7, 100])
def test_dump_without_index_gives_its_pages_whatever_the_blocks(tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(dump, "_BLOCK_BYTES", block_bytes)
    path = tmp_path / "a.xml.bz2"
    path.write_bytes(
        bz2.compress(f"<mediawiki>{page(1, '甲', '一')}\n{page(2, '乙', '二')}</mediawiki>\n".encode())
    )
    assert [(one.id, one.wikitext) for one in read_pages(path)] == [("1", "一"), ("2", "二")]


def crawl(folder, files):
    config = TypeAdapter(CrawlSettings).validate_python(SETTINGS)
    (folder / "in").mkdir(parents=True, exist_ok=True)
    with serve_source(Source(files)) as source:
        execute(
            run, config.model_copy(update={"base_url": source.url}), [folder / "in"], folder / "crawl" / "w"
        )
    return output_bytes(folder / "crawl" / "w")


def test_wikipedia_crawl_that_broke_off_does_the_remaining_parts_alone(tmp_path, monkeypatch):
    files = wikipedia_files([page(n, f"題{n}", f"本文{n}。") for n in range(1, 9)])
    monkeypatch.setenv("KAJIYA_WORKERS", "1")
    monkeypatch.setenv("KAJIYA_HTTP_WAIT_SECONDS", "0.01")
    monkeypatch.setattr(wikipedia, "PART_BYTES", 1)
    undisturbed = crawl(tmp_path / "calm", files)
    read, read_part = [], wikipedia.read_part

    def failing(part):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(part.start)
        return read_part(part)

    # The address is part of the settings: the same server must answer the second time.
    config = TypeAdapter(CrawlSettings).validate_python(SETTINGS)
    (tmp_path / "in").mkdir()
    with serve_source(Source(files)) as source:
        config = config.model_copy(update={"base_url": source.url})
        monkeypatch.setattr(wikipedia, "read_part", failing)
        with pytest.raises(KeyboardInterrupt):
            execute(run, config, [tmp_path / "in"], tmp_path / "crawl" / "w")
        done, read[:] = list(read), []
        monkeypatch.setattr(wikipedia, "read_part", lambda part: read.append(part.start) or read_part(part))
        execute(run, config, [tmp_path / "in"], tmp_path / "crawl" / "w")
    assert len(done) == 2
    assert len(read) == 2
    assert not set(read) & set(done)
    assert output_bytes(tmp_path / "crawl" / "w") == undisturbed
