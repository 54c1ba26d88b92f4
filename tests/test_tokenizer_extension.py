"""A base's tokenizer with Japanese pieces behind its own: what is new, and that nothing old moves."""

import random
import shutil

import pytest
from tiny_base import ENGLISH, llama_like_tokenizer, write_base
from tiny_corpus import texts, write_corpus
from tokenizers import Regex, normalizers, pre_tokenizers

from components.tokenize.encode import beginning_of_text
from components.tokenizer import run
from components.tokenizer.extend import JAPANESE, without_japanese
from components.tokenizer.settings import TokenizerSettings
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import choose_template, load_chat_tokenizer
from kajiya.lm.export import NORMAL, fast_tokenizer, read_proto
from kajiya.lm.extension import Extension, read_extension, write_extension
from kajiya.lm.tokenizer import differences, encode_documents, end_of_sequence, load_tokenizer

KINDS = {"bpe": 420, "unigram": 330}
NEW = 80


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module", params=list(KINDS))
def world(request, corpus, tmp_path_factory):
    """(base, extended tokenizer, report of the stage)."""
    root = tmp_path_factory.mktemp(request.param)
    size = KINDS[request.param]
    base = write_base(root / "base", model_type=request.param, pieces=size)
    out = root / "tokenizer"
    out.mkdir()
    return base, out, run(settings(size + NEW), corpus, base, out=out)


def settings(size, **values):
    return TokenizerSettings(**{"kind": "extend", "vocabulary_size": size, "check_strings": 200} | values)


def encode(tokenizer, strings):
    return [ids.tolist() for ids in encode_documents(tokenizer, strings)]


def test_text_without_japanese_keeps_every_id(world):
    base, out, report = world
    draw = random.Random(3)
    parts = [
        *ENGLISH[:20],
        *" \n\t",
        "  ",
        "def f(x):\n    return {x}",
        "한국어",
        "émigré",
        "12,345",
        "😀",
        "</s>",
    ]
    strings = [*ENGLISH, *("".join(draw.choices(parts, k=draw.randint(1, 6))) for _ in range(3000))]
    before = fast_tokenizer((base / "tokenizer.model").read_bytes())
    assert encode(load_tokenizer(out), strings) == encode(before, strings)
    assert report.figures["extension"]["unchanged"]["differences"] == 0


def test_fast_form_equals_sentencepiece_on_mixed_text(world):
    _, out, report = world
    draw = random.Random(4)
    parts = [*texts()[:40], *ENGLISH[:20], *"のは。年 \n", "  ", "12"]
    strings = ["".join(draw.choices(parts, k=draw.randint(1, 5)))[draw.randint(0, 9) :] for _ in range(2000)]
    model = (out / "tokenizer.model").read_bytes()
    if model and read_proto(model).trainer_spec.model_type == 2:
        assert differences(model, load_tokenizer(out), [*strings, *texts()]) == []
    assert report.figures["check"]["differences"] == 0


def test_japanese_takes_fewer_tokens_than_before(world):
    base, out, report = world
    before = fast_tokenizer((base / "tokenizer.model").read_bytes())
    old, new = (sum(map(len, encode(one, texts()))) for one in (before, load_tokenizer(out)))
    assert new < old / 2
    for source, figures in report.figures["sources"].items():
        assert (
            figures["characters_per_token"]
            > report.figures["extension"]["before"][source]["characters_per_token"]
        )


def test_old_pieces_stay_and_new_ones_are_japanese_each_within_reach(world):
    base, out, _ = world
    old = read_proto((base / "tokenizer.model").read_bytes())
    new = read_proto((out / "tokenizer.model").read_bytes())
    count = len(old.pieces)
    assert list(new.pieces[:count]) == list(old.pieces)
    added = [piece.piece for piece in new.pieces[count:]]
    assert len(added) == len(set(added)) == NEW
    assert all(JAPANESE.fullmatch(piece) and not any(c.isascii() for c in piece) for piece in added)
    spelt = load_tokenizer(out).model
    assert [[token.id for token in spelt.tokenize(piece)] for piece in added] == [
        [count + i] for i in range(NEW)
    ]


def test_new_scores_of_bpe_lie_below_the_old_and_of_unigram_within(world):
    base, out, _ = world
    old = [p.score for p in read_proto((base / "tokenizer.model").read_bytes()).pieces if p.type == NORMAL]
    proto = read_proto((out / "tokenizer.model").read_bytes())
    new = [piece.score for piece in proto.pieces][-NEW:]
    if proto.trainer_spec.model_type == 2:
        assert max(new) < min(old)
        assert new == sorted(new, reverse=True)
    else:
        assert min(old) <= min(new) <= max(new) <= max(old)


def test_extension_tells_how_the_base_spells_each_new_piece(world):
    base, out, _ = world
    extension = read_extension(out)
    before = fast_tokenizer((base / "tokenizer.model").read_bytes())
    assert extension.base_pieces == before.get_vocab_size()
    assert [before.decode(ids, skip_special_tokens=False) for ids in extension.made_of] == extension.pieces


def test_beginning_and_end_of_text_stay_the_bases(world):
    _, out, _ = world
    tokenizer = load_tokenizer(out)
    assert end_of_sequence(tokenizer, out) == 2
    assert beginning_of_text(tokenizer, 2) == 1


@pytest.mark.parametrize(("role_tokens", "template"), [(True, "roles"), (False, "text")])
def test_role_tokens_are_added_when_asked(corpus, tmp_path, role_tokens, template):
    base, out = write_base(tmp_path / "base"), tmp_path / "out"
    out.mkdir()
    run(settings(480, role_tokens=role_tokens), corpus, base, out=out)
    tokenizer = load_chat_tokenizer(out)
    assert len(tokenizer) == 480
    assert choose_template(tokenizer)[0] == template
    assert (len(tokenizer.tokenize("<|user|>", add_special_tokens=False)) == 1) is role_tokens
    assert all(read_extension(out).made_of)


def test_extension_from_other_shards_and_workers_is_the_same(tmp_path, monkeypatch):
    base = write_base(tmp_path / "base")
    contents = []
    for number, shard_bytes in (("1", 1 << 20), ("2", 15_000)):
        monkeypatch.setenv("KAJIYA_WORKERS", number)
        out = tmp_path / number
        out.mkdir()
        corpus = write_corpus(tmp_path / f"corpus-{number}", shard_bytes)
        run(settings(480, sample_characters=6000), corpus, base, out=out)
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]
    assert "extension.json" in contents[0]


def test_what_the_base_says_about_its_use_is_kept(corpus, tmp_path):
    base, out = write_base(tmp_path / "base"), tmp_path / "out"
    out.mkdir()
    (base / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "LlamaTokenizer", "eos_token": {"content": "</s>"}, "chat_template": "{{ bos_token }}"}'
    )
    run(settings(480), corpus, base, out=out)
    assert load_chat_tokenizer(out).chat_template == "{{ bos_token }}"
    assert end_of_sequence(load_tokenizer(out), out) == 2


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (420, "the base has 420 pieces already"),
        (30_000, r"only \d+ new Japanese pieces. Set it to \d+ at most"),
    ],
)
def test_size_that_cannot_be_is_refused_with_the_number(corpus, tmp_path, size, message):
    base = write_base(tmp_path / "base")
    with pytest.raises(KajiyaError, match=message):
        run(settings(size), corpus, base, out=tmp_path / "out")


def test_base_without_a_sentencepiece_model_cannot_be_extended(corpus, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(KajiyaError, match=r"no tokenizer\.model"):
        run(settings(480), corpus, tmp_path, out=tmp_path / "out")


def test_base_whose_two_forms_disagree_is_refused(corpus, tmp_path):
    base = write_base(tmp_path / "base")
    fast_tokenizer(llama_like_tokenizer(pieces=400)).save(str(base / "tokenizer.json"))
    with pytest.raises(KajiyaError, match="number their pieces differently"):
        run(settings(480), corpus, base, out=tmp_path / "out")


def test_base_whose_own_fast_form_says_the_same_is_extended(corpus, tmp_path):
    base, out = write_base(tmp_path / "base"), tmp_path / "out"
    out.mkdir()
    fast_tokenizer((base / "tokenizer.model").read_bytes()).save(str(base / "tokenizer.json"))
    assert run(settings(480), corpus, base, out=out).figures["extension"]["new_pieces"] == 60


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend("▁")])),
        ("pre_tokenizer", pre_tokenizers.Split(Regex("[a-z]"), "isolated")),
    ],
    ids=["normalizer", "pre_tokenizer"],
)
def test_base_whose_fast_form_cuts_texts_otherwise_is_refused(corpus, tmp_path, part, value):
    base = write_base(tmp_path / "base")
    fast = fast_tokenizer((base / "tokenizer.model").read_bytes())
    setattr(fast, part, value)
    fast.save(str(base / "tokenizer.json"))
    with pytest.raises(KajiyaError, match=r"tokenizer\.json encodes \d+ of \d+ texts otherwise"):
        run(settings(480), corpus, base, out=tmp_path / "out")


def test_base_with_tokens_behind_its_model_is_refused(corpus, tmp_path):
    base = write_base(tmp_path / "base")
    fast = fast_tokenizer((base / "tokenizer.model").read_bytes())
    fast.add_special_tokens(["<pad>"])
    fast.save(str(base / "tokenizer.json"))
    with pytest.raises(KajiyaError, match=r"'<pad>' \(id 420\) stands behind the 420 pieces"):
        run(settings(480), corpus, base, out=tmp_path / "out")


def test_text_is_left_without_its_japanese():
    assert without_japanese("I ate 3 みかん、today。　ＡＢ") == "I ate 3 todayＡＢ"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-3],
        lambda text: text.replace('"id": 5', '"id": 7'),
        lambda text: text.replace("[1", "[9"),
    ],
    ids=["cut", "renumbered", "no id of the base"],
)
def test_damaged_extension_is_refused(tmp_path, damage):
    write_extension(Extension(5, ["町", "の"], [[1, 2], [3]]), tmp_path)
    assert read_extension(tmp_path) == Extension(5, ["町", "の"], [[1, 2], [3]])
    path = tmp_path / "extension.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(KajiyaError, match=r"extension\.json"):
        read_extension(tmp_path)


def test_folder_without_an_extension_has_none(tmp_path):
    shutil.copy(__file__, tmp_path)
    assert read_extension(tmp_path) is None
