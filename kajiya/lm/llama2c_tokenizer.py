"""The tokenizer.bin of llama2.c as a SentencePiece model and a fast tokenizer that encode the same.

The file: the longest piece in bytes (int32), then per piece a float32 score, an int32 length and that many
bytes; a SentencePiece BPE of Llama's kind, with the space in place of SentencePiece's ▁. A text gets a
space in front, is taken apart into characters (bytes for those without a piece), and the neighbours
whose union has the highest score are joined until none is a piece.
"""

import itertools
import math
import struct
from pathlib import Path
from typing import NamedTuple

from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from kajiya.errors import KajiyaError
from kajiya.lm.export import BPE, BYTE, CONTROL, NORMAL, UNKNOWN_PIECE, fast_tokenizer, merges_of
from kajiya.lm.tokenizer import save_tokenizer
from kajiya.shards import write_file

UNKNOWN, BEGIN, END = 0, 1, 2
_SPECIAL = ("<unk>", "<s>", "</s>")
_BYTES = [f"<0x{value:02X}>" for value in range(256)]
_FIRST_LEARNT = len(_SPECIAL) + len(_BYTES)
_SPACE = "▁"


class Piece(NamedTuple):
    text: str
    score: float


def write_llama2c_tokenizer(path: Path, vocabulary: int, context: int, out: Path) -> None:
    """Write tokenizer.json, its config and tokenizer.model into `out`. vocabulary: pieces that the model has."""
    pieces = read_pieces(path)
    if len(pieces) != vocabulary:
        raise KajiyaError(
            f"{path}: {len(pieces)} pieces, but the model has {vocabulary}. Give the tokenizer that the model "
            "was trained with."
        )
    model = sentencepiece_model(pieces, path)
    special = dict(zip(("unk_token", "bos_token", "eos_token"), _SPECIAL, strict=True))
    save_tokenizer(fast_tokenizer(model, begin=True), special | {"model_max_length": context}, out)
    write_file(out / "tokenizer.model", model)  # what the stage `tokenizer` extends


def read_pieces(path: Path) -> list[Piece]:
    """Text and score of every piece by id, ▁ for the space. Raises KajiyaError naming the piece."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise KajiyaError(f"{path}: cannot be read ({error.strerror}).") from None
    if len(content) < 4:
        raise KajiyaError(f"{path}: {len(content)} bytes are no llama2.c tokenizer.")
    (longest,) = struct.unpack_from("<i", content)
    pieces: list[Piece] = []
    at = 4
    while at < len(content):
        score, length = struct.unpack_from("<fi", content, at) if at + 8 <= len(content) else (0.0, -1)
        raw = content[at + 8 : at + 8 + length]
        if not 1 <= length <= longest or len(raw) < length:
            raise KajiyaError(
                f"{path}: piece {len(pieces)} at byte {at} does not fit: length {length}, longest {longest}, file "
                f"{len(content)} bytes. The file is damaged, or no llama2.c tokenizer."
            )
        pieces.append(_piece(raw, score, len(pieces), path))
        at += 8 + length
    _check_pieces(pieces, path)
    return pieces


def _piece(raw: bytes, score: float, number: int, path: Path) -> Piece:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise KajiyaError(f"{path}: piece {number} is not UTF-8: {raw!r}. The file is damaged.") from None
    if math.isnan(score):
        raise KajiyaError(
            f"{path}: the score of piece {number} ({text!r}) is no number. The file is damaged."
        )
    # tokenizer.py of llama2.c puts newlines around these, for its terminal.
    return Piece(text.strip("\n") if 0 < number < len(_SPECIAL) else text.replace(" ", _SPACE), score)


def _check_pieces(pieces: list[Piece], path: Path) -> None:
    fixed = [*_SPECIAL, *_BYTES]
    for number, (expected, piece) in enumerate(zip(fixed, pieces, strict=False)):
        if piece.text != expected:
            raise KajiyaError(
                f"{path}: piece {number} is {piece.text!r}, llama2.c needs {expected!r} there: it takes Llama's "
                "vocabularies alone, which begin with three special pieces and the 256 bytes."
            )
    if len(pieces) <= len(fixed):
        raise KajiyaError(f"{path}: {len(pieces)} pieces, none of them learnt. The file was cut short.")
    first: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        if first.setdefault(piece.text, number) != number:
            raise KajiyaError(f"{path}: pieces {first[piece.text]} and {number} are both {piece.text!r}.")


def sentencepiece_model(pieces: list[Piece], path: Path) -> bytes:
    """The SentencePiece model that llama2.c's file was written from, as far as encoding needs it."""
    _require_order(pieces, path)
    proto = ModelProto()
    kinds = [UNKNOWN_PIECE, CONTROL, CONTROL] + [BYTE] * len(_BYTES)
    for number, piece in enumerate(pieces):
        kind = kinds[number] if number < _FIRST_LEARNT else NORMAL
        proto.pieces.add(piece=piece.text, score=piece.score, type=kind)
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    trainer.model_type, trainer.vocab_size, trainer.byte_fallback = BPE, len(pieces), True
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = UNKNOWN, BEGIN, END, -1
    normalizer.name, normalizer.add_dummy_prefix, normalizer.escape_whitespaces = "identity", True, True
    normalizer.remove_extra_whitespaces = False
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _require_order(pieces: list[Piece], path: Path) -> None:
    """Raise KajiyaError where two unions have one score: there the leftmost wins, which merges cannot say."""
    scores = {piece.text: piece.score for piece in pieces[_FIRST_LEARNT:]}
    joined = dict.fromkeys(left + right for left, right in merges_of(scores))
    for one, other in itertools.pairwise(joined):
        if scores[one] == scores[other]:
            raise KajiyaError(
                f"{path}: the pieces {one!r} and {other!r} have the same score {scores[one]}, so which is joined "
                "first depends on where they stand; a tokenizer.json cannot say that."
            )
