"""Train the SentencePiece model, byte for byte the same on every run."""

import io
import re
import string

from sentencepiece import SentencePieceTrainer

from components.tokenizer.settings import TokenizerSettings
from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import END_OF_SEQUENCE, NEWLINE, NORMAL, PADDING, ROLE_TOKENS, UNKNOWN, ModelProto

# The threads sum floats in their own order, so their number changes the model: fixed, whatever the
# machine has (1, 2 and 16 gave three different models of one sample).
_THREADS = 16

# Scores are multiples of 1/256: float32 then adds exactly up to a sum of 65,536, some 6,000 pieces.
_STEPS = 256

# Below this SentencePiece is done in seconds, and its own progress log would only be noise.
_LOG_FROM_CHARACTERS = 10_000_000


def train_model(sentences: list[str], config: TokenizerSettings) -> bytes:
    """The serialised SentencePiece model.

    Identity normalisation: the corpus is clean already, and nothing may be lost on the way back. No
    space before a text: Japanese begins without one, and a reply continues where its prompt ended.
    """
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=config.vocabulary_size,
            character_coverage=config.character_coverage,
            max_sentencepiece_length=config.max_piece_characters,
            byte_fallback=True,
            split_digits=True,
            allow_whitespace_only_pieces=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            max_sentence_length=1 << 16,
            required_chars="".join(sorted(set(string.printable) - set(string.whitespace))),
            user_defined_symbols=[NEWLINE],
            control_symbols=list(ROLE_TOKENS.values()),
            unk_id=0,
            eos_id=1,
            pad_id=2,
            bos_id=-1,
            unk_piece=UNKNOWN,
            eos_piece=END_OF_SEQUENCE,
            pad_piece=PADDING,
            num_threads=_THREADS,
            minloglevel=0 if sum(map(len, sentences)) > _LOG_FROM_CHARACTERS else 2,
        )
    except RuntimeError as error:
        raise KajiyaError(_explain(str(error), config, len(sentences))) from None
    return settle_scores(model.getvalue())


def settle_scores(model: bytes) -> bytes:
    """Round the scores so that sums of them are exact, in SentencePiece's float32 as in HF's float64.

    Forty spaces are 16 + 16 + 8 in any order, all equally good: with sums that are rounded, chance
    decides, and otherwise in either library (3 of 1,950 strings of technical text differed). Exact
    sums tie exactly, and both libraries then keep the first.
    """
    proto = ModelProto.FromString(model)
    for piece in proto.pieces:
        if piece.piece == NEWLINE:  # as a user-defined piece its score would be 0.1 off the grid
            piece.type, piece.score = NORMAL, 0.0
        elif piece.type == NORMAL:
            piece.score = round(piece.score * _STEPS) / _STEPS
    return proto.SerializeToString(deterministic=True)


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
