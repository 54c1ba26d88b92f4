"""The tokenizer.bin of llama2.c as a fast tokenizer that encodes the same.

The file: the longest piece in bytes (int32), then per piece a float32 score, an int32 length and that many
bytes; a SentencePiece BPE of Llama's kind, with the space in place of SentencePiece's ▁. A text gets a
space in front, is taken apart into characters (bytes for those without a piece), and the neighbours
whose union has the highest score are joined until none is a piece.
"""

import itertools
import json
import math
import struct
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, processors

from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import TOKENIZER_FILE
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
    """Write tokenizer.json and its config into `out`. vocabulary: pieces that the model has."""
    pieces = read_pieces(path)
    if len(pieces) != vocabulary:
        raise KajiyaError(
            f"{path}: {len(pieces)} pieces, but the model has {vocabulary}. Give the tokenizer that the model "
            "was trained with."
        )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": _SPECIAL[UNKNOWN],
        "bos_token": _SPECIAL[BEGIN],
        "eos_token": _SPECIAL[END],
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
    write_file(out / TOKENIZER_FILE, bpe_tokenizer(pieces, path).to_str(pretty=True))
    write_file(out / "tokenizer_config.json", json.dumps(config, indent=2, sort_keys=True) + "\n")


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


def bpe_tokenizer(pieces: list[Piece], path: Path) -> Tokenizer:
    """The fast tokenizer; `<s>` before every text, as llama2.c puts it."""
    backend = Tokenizer(
        models.BPE(
            {piece.text: number for number, piece in enumerate(pieces)},
            _merges(pieces, path),
            unk_token=_SPECIAL[UNKNOWN],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace(_SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),  # the space that was put in front
        ]
    )
    backend.post_processor = processors.TemplateProcessing(
        single=f"{_SPECIAL[BEGIN]} $A",
        pair=f"{_SPECIAL[BEGIN]} $A {_SPECIAL[BEGIN]} $B",
        special_tokens=[(_SPECIAL[BEGIN], BEGIN)],
    )
    backend.add_special_tokens(list(_SPECIAL))
    return backend


def _merges(pieces: list[Piece], path: Path) -> list[tuple[str, str]]:
    """Every way to join two pieces to a third, the highest score first.

    llama2.c asks for the score of the union alone, so all splits of a piece are merges. Equal scores of
    two pieces are refused: there the leftmost wins, which a list of merges cannot say.
    """
    learnt = pieces[_FIRST_LEARNT:]
    known = {piece.text for piece in learnt}
    splits = [
        (piece, [(left, right) for left, right in _splits(piece.text) if {left, right} <= known])
        for piece in sorted(learnt, key=lambda piece: -piece.score)
    ]
    joined = [(piece, pairs) for piece, pairs in splits if pairs]
    for (one, _), (other, _) in itertools.pairwise(joined):
        if one.score == other.score:
            raise KajiyaError(
                f"{path}: the pieces {one.text!r} and {other.text!r} have the same score {one.score}, so which "
                "is joined first depends on where they stand; a tokenizer.json cannot say that."
            )
    return [pair for _, pairs in joined for pair in pairs]


def _splits(text: str) -> list[tuple[str, str]]:
    return [(text[:at], text[at:]) for at in range(1, len(text))]
