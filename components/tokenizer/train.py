"""Train the SentencePiece model, byte for byte the same on every run."""

import io
import re
import string
from collections.abc import Iterable
from typing import Any

from sentencepiece import SentencePieceTrainer

from components.tokenizer.sample import Sample
from components.tokenizer.settings import TokenizerSettings
from kajiya.errors import KajiyaError
from kajiya.lm.export import NORMAL, SCORE_STEPS, UNIGRAM, USER_DEFINED, read_proto
from kajiya.lm.tokenizer import END_OF_SEQUENCE, NEWLINE, PADDING, ROLE_TOKENS, UNKNOWN

# The threads sum floats in their own order, so their number changes the model: fixed, whatever the
# machine has (1, 2 and 16 gave three different models of one sample).
_THREADS = 16

# Below this SentencePiece is done in seconds, and its own progress log would only be noise.
_LOG_FROM_CHARACTERS = 10_000_000

# Columns of a tab, as most editors show it.
_TAB_WIDTH = 4

# Cheaper than any learnt piece and dearer than nothing: a run is then cut into as few pieces as it can be.
_RUN_SCORE = -1.0


def train_model(sample: Sample, config: TokenizerSettings) -> bytes:
    """The serialised SentencePiece model.

    Identity normalisation: the corpus is clean already, and nothing may be lost on the way back.
    """
    model = _train(
        sample.sentences(),
        config,
        sample,
        byte_fallback=True,
        split_digits=config.split_digits,
        allow_whitespace_only_pieces=True,
        add_dummy_prefix=config.space_before_text,
        # ▁, the space: from bytes it would come back as ▁.
        required_chars="".join(sorted(set(string.printable) - set(string.whitespace))) + "▁",
        user_defined_symbols=[NEWLINE, *indentations(config.longest_indentation)],
        control_symbols=list(ROLE_TOKENS.values()),
        unk_id=0,
        eos_id=1,
        pad_id=2,
        bos_id=-1,
        unk_piece=UNKNOWN,
        eos_piece=END_OF_SEQUENCE,
        pad_piece=PADDING,
    )
    return settle_scores(model, config.longest_indentation)


def train_pieces(
    sentences: Iterable[bytes], sample: Sample, config: TokenizerSettings
) -> list[tuple[str, float]]:
    """Pieces and scores learnt from `sentences`, the best first; nothing but pieces is asked of this model."""
    model = _train(sentences, config, sample, hard_vocab_limit=False, add_dummy_prefix=False)
    return [(piece.piece, piece.score) for piece in read_proto(model).pieces if piece.type == NORMAL]


def _train(sentences: Iterable[bytes], config: TokenizerSettings, sample: Sample, **options: Any) -> bytes:
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type=config.algorithm,
            vocab_size=config.vocabulary_size,
            character_coverage=config.character_coverage,
            max_sentencepiece_length=config.max_piece_characters,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 16,
            num_threads=_THREADS,
            minloglevel=0 if sample.characters > _LOG_FROM_CHARACTERS else 2,
            **options,
        )
    except RuntimeError as error:
        raise KajiyaError(_explain(str(error), config, sample.count)) from None
    return model.getvalue()


def indentations(longest: int) -> list[str]:
    """Runs of spaces and of tabs, each in the order in which BPE must build them.

    Doubled first: 11 spaces are 8 and 2 and 1, then 8 and 3, then 11; every run ends as one piece.
    """
    doubled = [1 << power for power in range(1, longest.bit_length())]
    lengths = [length for length in doubled if length <= longest]
    lengths += [length for length in range(2, longest + 1) if length not in lengths]
    spaces = ["▁" * length for length in lengths]
    most_tabs = max(1, longest // _TAB_WIDTH) if longest else 0
    tabs = ["\t" * length for length in [1, *lengths] if length <= most_tabs]
    return spaces + tabs


def settle_scores(model: bytes, longest_indentation: int = 0) -> bytes:
    """Round the scores so that sums of them are exact, in SentencePiece's float32 as in HF's float64.

    Forty spaces are 16 + 16 + 8 in any order, all equally good: with sums that are rounded, chance
    decides, and otherwise in either library (3 of 1,950 strings of technical text differed). Exact
    sums tie exactly, and both libraries then keep the first.
    """
    proto = read_proto(model)
    unigram = proto.trainer_spec.model_type == UNIGRAM
    runs = {piece: -place for place, piece in enumerate(indentations(longest_indentation))}
    for piece in proto.pieces:
        if (
            piece.type == USER_DEFINED
        ):  # learnt ones from here on: SentencePiece would cut them out of the text
            piece.type = NORMAL
            # BPE: above all learnt merges, so that a run is whole before a word takes its last space.
            above = len(runs) + 1 + runs.get(piece.piece, 0)
            piece.score = 0.0 if piece.piece == NEWLINE else _RUN_SCORE if unigram else above
        elif piece.type == NORMAL:
            piece.score = round(piece.score * SCORE_STEPS) / SCORE_STEPS
    return bytes(proto.SerializeToString(deterministic=True))


def _explain(message: str, config: TokenizerSettings, sentences: int) -> str:
    size = config.vocabulary_size
    if too_high := re.search(r"value <= (\d+)", message):
        return (
            f"vocabulary_size {size} is more than {sentences} sentences can fill. "
            f"Set it to {too_high[1]} at most, raise sample_characters, or bring more text."
        )
    if too_low := re.search(r"smaller than required_chars[^\d]*\d+ vs (\d+)", message):
        return (
            f"vocabulary_size {size} is less than the {too_low[1]} bytes, characters and special tokens "
            "it must hold. Raise it, or lower character_coverage."
        )
    return f"SentencePiece failed on {sentences} sentences: {message}"
