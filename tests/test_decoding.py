"""Decoding with a draft: greedy text is the same, sampled text is as likely, and text comes out whole."""

import pytest
import torch
from served_model import write_pair, write_tokenizer_of_corpus
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer

from kajiya.errors import KajiyaError
from kajiya.lm.conversations import ROLE_TEMPLATE, TEXT_TEMPLATE
from kajiya.serving.answer import Answer, Wish
from kajiya.serving.decoding import Sampling, Tally, _Chooser, decode
from kajiya.serving.models import open_model, require_same_tokenizer
from kajiya.serving.prompts import PromptError, PromptTooLongError, chat_prompt, speaker_marks, text_prompt
from kajiya.serving.stream import StopFilter, TextStream


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return write_pair(folder, write_tokenizer_of_corpus(folder))


@pytest.fixture(scope="module")
def served(folders):
    return open_model(*map(str, folders))


GREEDY = Sampling()


def tokens(served, prompt, sampling=GREEDY, limit=60, draft=False, tally=None):
    models_ = (served.model, served.draft if draft else None)
    return [t for new in decode(models_, served.vocabulary, prompt, sampling, limit, tally) for t in new]


PROMPTS = ["札幌は", "先週、松山まで", "Visitors to", "。"]


@pytest.mark.parametrize("text", PROMPTS)
def test_greedy_decoding_equals_transformers_with_and_without_a_draft(served, text):
    prompt, tally = text_prompt(served, text), Tally()
    expected = served.model.generate(
        torch.tensor([prompt]), max_new_tokens=60, do_sample=False, eos_token_id=None, pad_token_id=2
    )[0].tolist()

    assert prompt + tokens(served, prompt) == expected
    assert prompt + tokens(served, prompt, draft=True, tally=tally) == expected
    assert 0 < tally.accepted < tally.guessed
    assert tally.passes + tally.accepted == 60


def test_draft_that_knows_nothing_costs_guesses_and_changes_nothing(served, folders):
    draft = open_model(str(folders[1])).model
    with torch.no_grad():
        draft.lm_head.weight.copy_(draft.lm_head.weight.roll(7, 0))
    prompt, tally = text_prompt(served, PROMPTS[0]), Tally()

    found = [t for new in decode((served.model, draft), 440, prompt, Sampling(), 40, tally) for t in new]

    assert found == tokens(served, prompt, limit=40)
    assert tally.accepted < tally.guessed / 2
    # It rests more and more, so that it is not asked before each of the 40 tokens.
    assert tally.guessed < 20


def test_decoding_with_a_draft_of_a_shorter_context_goes_on_without_it(served, folders):
    draft = open_model(str(folders[1])).model
    draft.config.max_position_embeddings = 20
    prompt, tally = text_prompt(served, PROMPTS[1]), Tally()

    found = [t for new in decode((served.model, draft), 440, prompt, Sampling(), 60, tally) for t in new]

    assert found == tokens(served, prompt)
    assert tally.guessed < 30


def test_sampling_by_seed_is_repeatable_and_differs_between_seeds(served):
    prompt = text_prompt(served, PROMPTS[0])
    drawn = [tokens(served, prompt, Sampling(1.0, 0.9, seed), 30, draft=True) for seed in (1, 1, 2)]

    assert drawn[0] == drawn[1] != drawn[2]


def test_speculative_samples_follow_the_distribution_of_the_model_alone():
    """6,000 draws of a first and a second token, against the probabilities computed by hand."""
    generator = torch.Generator().manual_seed(3)
    own, helper = torch.randn(3, 6, generator=generator), torch.randn(2, 6, generator=generator)
    chooser = _Chooser(Sampling(temperature=0.8, top_p=0.9, seed=11))
    p, q = chooser.distribution(own), chooser.distribution(helper)
    assert float((p > 0).sum()) < p.numel()  # top_p leaves some out
    counts = torch.zeros(2, 6)
    for _ in range(6_000):
        guesses = [chooser.draw(q[0]), chooser.draw(q[1])]
        drawn = chooser.verify(own, guesses, [q[0], q[1]])
        counts[0, drawn[0]] += 1
        if len(drawn) > 1:
            counts[1, drawn[1]] += 1

    found = counts / counts.sum(1, keepdim=True)
    assert float((found - p[:2]).abs().max()) < 0.03


def test_top_p_draws_among_the_fewest_likely_tokens():
    chooser = _Chooser(Sampling(temperature=1.0, top_p=0.6, seed=0))

    kept = chooser.distribution(torch.tensor([0.5, 0.3, 0.15, 0.05]).log())

    torch.testing.assert_close(kept, torch.tensor([0.625, 0.375, 0.0, 0.0]))


def test_answer_ends_at_the_context_with_length(served):
    answer = Answer(served, Wish(text_prompt(served, "。")[:1] * 505))

    "".join(answer.text())

    assert (answer.tokens, answer.finish_reason) == (7, "length")


def test_answer_ends_before_the_stop_string_and_at_the_end_token(served):
    prompt = text_prompt(served, PROMPTS[0])
    whole = "".join(Answer(served, Wish(prompt, 40)).text())
    stop = whole[10:13]
    cut = Answer(served, Wish(prompt, 40, stop_strings=[stop]))
    third = tokens(served, prompt)[2]
    ended = Answer(served, Wish(prompt, 40, stop_tokens=frozenset({third})))

    assert "".join(cut.text()) == whole[: whole.index(stop)]
    assert whole.startswith("".join(ended.text()))
    assert (cut.finish_reason, ended.finish_reason) == ("stop", "stop")
    assert ended.tokens == tokens(served, prompt).index(third) + 1


def test_text_in_pieces_equals_the_text_decoded_whole(served):
    text = "𠮟られた🍎と松山。\n  a b"
    ids = served.pieces.encode(text, add_special_tokens=False).ids
    stream = TextStream(served.pieces, served.pieces.encode("前の文").ids)

    pieces = [stream.push([one]) for one in ids]

    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)
    assert len([piece for piece in pieces if piece]) < len(ids)  # bytes wait for their characters


def test_text_that_ends_within_a_character_shows_that_something_is_missing(served):
    ids = served.pieces.encode("🍎", add_special_tokens=False).ids
    stream = TextStream(served.pieces, [])

    assert stream.push(ids[:2]) == ""
    assert stream.push([], last=True).startswith("\ufffd")


def test_text_after_a_prompt_keeps_its_space_where_the_tokenizer_drops_the_first():
    backend = Tokenizer(models.WordLevel({"▁Once": 0, "▁upon": 1}, unk_token="▁upon"))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )

    assert TextStream(backend, [0]).push([1]) == " upon"
    assert TextStream(backend, []).push([0]) == "Once"


@pytest.fixture
def bytes_alone():
    """A tokenizer whose pieces are the 256 bytes; the id of a piece is its byte."""
    backend = Tokenizer(models.BPE({f"<0x{byte:02X}>": byte for byte in range(256)}, [], byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return backend


@pytest.mark.parametrize("prompt", ["髙髙\n", "髙" * 9, "a髙é\n😀", "😀😀", "\ufffd髙髙\ufffd", "abc", ""])
def test_text_after_a_prompt_of_bytes_is_whole(bytes_alone, prompt):
    stream = TextStream(bytes_alone, list(prompt.encode()))

    pieces = [stream.push([byte]) for byte in "鬱鬱鬱z😀".encode()]

    assert [piece for piece in pieces if piece] == ["鬱", "鬱", "鬱", "z", "😀"]


def test_character_that_the_prompt_began_is_shown_when_it_ends(bytes_alone):
    *begun, last = "髙髙鬱".encode()
    stream = TextStream(bytes_alone, begun)

    assert [stream.push([last]), stream.push([*b"z"])] == ["鬱", "z"]


def test_bytes_of_no_character_leave_the_text_around_them(bytes_alone):
    bytes_alone.add_tokens(["z"])
    stream = TextStream(bytes_alone, [*b"\n"])

    pieces = [
        stream.push([one]) for one in [*"鬱".encode(), 0xFF, bytes_alone.token_to_id("z"), *"鬱".encode()]
    ]

    assert [piece for piece in pieces if piece] == ["鬱", "\ufffdz", "鬱"]


def test_special_token_within_an_answer_leaves_the_space_after_it():
    backend = Tokenizer(models.WordLevel({"▁Once": 0, "▁upon": 1, "<|user|>": 2}, unk_token="▁upon"))
    backend.add_special_tokens(["<|user|>"])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    stream = TextStream(backend, [0])

    assert [stream.push([one]) for one in (1, 2, 2, 1)] == [" upon", "", "", " upon"]


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["a\n##", "# us", "er\nb"], ["### user"], "a\n"),
        (["a##", "b"], ["### user"], "a##b"),
        (["ab", "ab", "c"], ["abc"], "ab"),
        (["答え。終", "わり"], ["わり", "終わり"], "答え。"),
        (["x"], [], "x"),
    ],
)
def test_stop_string_in_pieces_is_never_shown(pieces, stops, shown):
    stop = StopFilter(stops)
    found = "".join(stop.push(piece) for piece in pieces) + ("" if stop.stopped else stop.push("", last=True))

    assert found == shown


def test_answer_ends_where_the_next_speaker_would_begin(served):
    tokenizer = AutoTokenizer.from_pretrained(served.tokenizer.name_or_path)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in ("</s>", "<|user|>", "<|assistant|>")}
    marks = {}
    for name, template in (("roles", ROLE_TEMPLATE), ("text", TEXT_TEMPLATE), ("chatml", CHATML)):
        tokenizer = AutoTokenizer.from_pretrained(served.tokenizer.name_or_path)
        tokenizer.chat_template = template
        marks[name] = speaker_marks(served.__class__(**{**vars(served), "tokenizer": tokenizer}))

    assert marks["roles"] == (set(ids.values()), [])
    assert marks["text"] == ({ids["</s>"]}, ["### user", "### assistant"])
    assert marks["chatml"] == ({ids["<|user|>"], ids["<|assistant|>"]}, [])


CHATML = (  # with two tokens that this tokenizer has
    "{% for m in messages %}{{ '<|user|>' + m.role + '\n' + m.content + '<|assistant|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|user|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("はい</s>", PromptError, "a message holds </s>"),
        ("<|assistant|>私は", PromptError, r"holds <\|assistant\|>"),
        ("札幌" * 400, PromptTooLongError, "context holds 512"),
    ],
    ids=["end", "speaker", "long"],
)
def test_prompt_that_the_model_cannot_be_given_is_refused(served, content, error, words):
    with pytest.raises(error, match=words):
        chat_prompt(served, [{"role": "user", "content": content}])


def test_draft_of_another_tokenizer_is_refused_with_an_example(folders, tmp_path):
    path = folders[1] / "tokenizer.json"
    for name, text in (
        ("renamed", path.read_text().replace('"は"', '"㍿"')),
        ("cut_otherwise", path.read_text().replace('"Isolated"', '"Removed"', 1)),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokenizer.json").write_text(text)

    require_same_tokenizer(*folders)
    with pytest.raises(KajiyaError, match="440 pieces against 440, and they differ, for example in '"):
        require_same_tokenizer(folders[0], tmp_path / "renamed")
    with pytest.raises(KajiyaError, match="cut texts into them otherwise"):
        require_same_tokenizer(folders[0], tmp_path / "cut_otherwise")
