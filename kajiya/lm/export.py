"""SentencePiece models in the fast HF form, exactly: unigram and BPE, with and without a space before the text.

transformers' own conversion reads a unigram model as BPE without a word (9,910 of 10,000 strings then
differ), hence the explicit one. What cannot be converted exactly is refused, and says why.
"""

import re
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import ROLE_TOKENS, SEGMENT, SEGMENT_PATTERN

# Numbers of sentencepiece.proto: the generated classes carry no types.
UNIGRAM, BPE = 1, 2
NORMAL, UNKNOWN_PIECE, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# HF matches every piece of the vocabulary in plain text, SentencePiece only those learnt: with this
# score a literal "</s>" or "<0x0A>" on a web page stays a row of letters in both.
_NEVER_CHOSEN = -1e6

# Scores that are multiples of 1/256 add up exactly in float32 to a sum of 65,536, some 6,000 pieces.
SCORE_STEPS = 256


def fast_tokenizer(model: bytes, begin: bool = False) -> Tokenizer:
    """The HF form of a SentencePiece model.

    begin: whether special tokens added to a text begin with the model's <s>, as Llama's do.
    Raises KajiyaError where the two would not encode alike.
    """
    proto = read_proto(model)
    require_convertible(proto)
    unigram = proto.trainer_spec.model_type == UNIGRAM
    backend = Tokenizer(_unigram(proto) if unigram else _bpe(proto))
    prefix = proto.normalizer_spec.add_dummy_prefix
    spaces = normalizers.Replace(" ", "▁")
    # Not Metaspace: its prefix is left out before a text that begins with a space.
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    if borders := _borders(proto):
        splits = [pre_tokenizers.Split(Regex(border), behavior="isolated") for border in borders]
        backend.pre_tokenizer = splits[0] if len(splits) == 1 else pre_tokenizers.Sequence(splits)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prefix else steps)
    special = [piece.piece for piece in proto.pieces if piece.type in {UNKNOWN_PIECE, CONTROL}]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    beginning = special_tokens(proto).get("bos_token")
    if begin and beginning:
        backend.post_processor = processors.TemplateProcessing(
            single=[beginning, "$A"],
            pair=[beginning, "$A", f"{beginning}:1", "$B:1"],
            special_tokens=[(beginning, backend.token_to_id(beginning))],
        )
    return backend


def read_proto(model: bytes) -> Any:
    """The model as SentencePiece's proto. Raises KajiyaError where it is none."""
    try:
        proto = ModelProto.FromString(model)
    except DecodeError as error:
        raise KajiyaError(f"tokenizer.model: not a SentencePiece model ({error}).") from None
    if not proto.pieces:
        raise KajiyaError("tokenizer.model: not a SentencePiece model: it holds no pieces.")
    return proto


def special_tokens(proto: Any) -> dict[str, Any]:
    """unk_token, bos_token, eos_token, pad_token as tokenizer_config.json names them; absent ones are left out."""
    spec, pieces = proto.trainer_spec, proto.pieces
    named: dict[str, Any] = {}
    for role, number, usual in (
        ("unk", spec.unk_id, "<unk>"),
        ("bos", spec.bos_id, "<s>"),
        ("eos", spec.eos_id, "</s>"),
        ("pad", spec.pad_id, "<pad>"),
    ):
        if 0 <= number < len(pieces) and pieces[number].type in {UNKNOWN_PIECE, CONTROL}:
            named[f"{role}_token"] = pieces[number].piece
        elif any(piece.piece == usual and piece.type == CONTROL for piece in pieces):
            named[f"{role}_token"] = usual
    if roles := [p.piece for p in proto.pieces if p.type == CONTROL and p.piece in ROLE_TOKENS.values()]:
        named["additional_special_tokens"] = roles
    return named


def adds_exactly(proto: Any) -> bool:
    """Whether no rounding can part the two forms: BPE adds nothing, grid scores add exactly."""
    if proto.trainer_spec.model_type == BPE:
        return True
    scaled = normal_scores(proto) * SCORE_STEPS
    return bool((scaled == np.round(scaled)).all())


def normal_scores(proto: Any) -> NDArray[np.float64]:
    """Score by id; 0 for pieces that were not learnt."""
    return np.array([piece.score if piece.type == NORMAL else 0.0 for piece in proto.pieces])


def merges_of(scores: dict[str, float]) -> list[tuple[str, str]]:
    """Every pair of pieces that make a third, in the order in which SentencePiece would merge them.

    SentencePiece keeps no list: it merges whatever two neighbours spell a piece, the best score first.
    """
    longer = sorted((piece for piece in scores if len(piece) > 1), key=lambda piece: -scores[piece])
    return [
        (piece[:cut], piece[cut:])
        for piece in longer
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


def _borders(proto: Any) -> list[str]:
    """Patterns at which a text may be cut before it is encoded, because no learnt piece reaches past them."""
    learnt = [piece.piece for piece in proto.pieces if piece.type == NORMAL]
    borders = [SEGMENT_PATTERN] if all(SEGMENT.fullmatch(piece) for piece in learnt) else []
    if proto.trainer_spec.model_type == UNIGRAM:
        # To HF a character without a piece costs more than the worst piece, and be it _NEVER_CHOSEN: "</s>"
        # would win over its letters where < has none.
        named = {c for piece in proto.pieces if piece.type != NORMAL for c in piece.piece}
        if unknown := sorted(named - set(learnt)):
            borders.append("|".join(map(re.escape, unknown)))
    return borders


def _unigram(proto: Any) -> models.Unigram:
    vocabulary = [(p.piece, p.score if p.type == NORMAL else _NEVER_CHOSEN) for p in proto.pieces]
    return models.Unigram(
        vocabulary, unk_id=proto.trainer_spec.unk_id, byte_fallback=proto.trainer_spec.byte_fallback
    )


def _bpe(proto: Any) -> models.BPE:
    unknown = next(piece.piece for piece in proto.pieces if piece.type == UNKNOWN_PIECE)
    return models.BPE(
        {piece.piece: number for number, piece in enumerate(proto.pieces)},
        merges_of({piece.piece: piece.score for piece in proto.pieces if piece.type == NORMAL}),
        unk_token=unknown,
        fuse_unk=True,
        byte_fallback=proto.trainer_spec.byte_fallback,
    )


def require_convertible(proto: Any) -> None:
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    types = {piece.type for piece in proto.pieces}
    learnt = {piece.piece for piece in proto.pieces if piece.type == NORMAL}
    demands = {
        "model_type unigram or bpe": trainer.model_type in {UNIGRAM, BPE},
        "pieces without user-defined and unused ones": not types & {USER_DEFINED, UNUSED},
        "every character of a piece as a piece": {c for piece in learnt for c in piece} <= learnt,
        "byte_fallback": trainer.byte_fallback and sum(p.type == BYTE for p in proto.pieces) == 256,
        "identity normalisation": not normalizer.precompiled_charsmap,
        "no remove_extra_whitespaces": not normalizer.remove_extra_whitespaces,
        "escape_whitespaces": normalizer.escape_whitespaces,
        "no treat_whitespace_as_suffix": not trainer.treat_whitespace_as_suffix,
    }
    if missing := [name for name, met in demands.items() if not met]:
        raise KajiyaError(
            f"tokenizer.model: cannot be converted exactly, it lacks: {', '.join(missing)}. "
            "Train it with the stage `tokenizer`, or bring a tokenizer.json and set `kind: take`."
        )
