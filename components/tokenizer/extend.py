"""Put Japanese pieces behind the ids of an existing SentencePiece model.

Every new piece is made of Japanese characters alone, so none can stand in a text without any: English,
code and other languages keep the very ids they had. In BPE the new pairs come after all old ones; in
unigram the new scores stay within the old ones' range, because the score of an unknown character
hangs on the lowest.
"""

import re
from collections.abc import Iterator
from typing import Any

from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

from components.tokenizer.sample import Sample
from components.tokenizer.settings import TokenizerSettings
from components.tokenizer.train import train_pieces
from kajiya.errors import KajiyaError
from kajiya.lm.export import BPE, CONTROL, NORMAL, SCORE_STEPS, fast_tokenizer, read_proto
from kajiya.lm.extension import Extension
from kajiya.lm.tokenizer import ROLE_TOKENS

# Kana, kanji, and the marks, digits and spaces of full width; no Latin letter of whatever width.
JAPANESE = re.compile(
    r"[\u3000-\u301f\u3021-\u3035\u303b\u3041-\u3096\u3099-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\uff01-\uff20\uff3b-\uff3d\uff5b-\uff65\U00020000-\U0003347f]+"
)

# Some learnt pieces turn out to be out of reach beside the old ones: as many more are learnt at once.
_SPARE = 1.15


def extend(base: bytes, sample: Sample, config: TokenizerSettings) -> tuple[bytes, Extension]:
    """The base model with new pieces up to `vocabulary_size`, learnt from the Japanese of the sample, and what they are."""
    proto = read_proto(base)
    old = {piece.piece for piece in proto.pieces}
    roles = [role for role in ROLE_TOKENS.values() if config.role_tokens and role not in old]
    wanted = config.vocabulary_size - len(old) - len(roles)
    if wanted < 1:
        raise KajiyaError(
            f"tokenizer.vocabulary_size is {config.vocabulary_size}, but the base has {len(old)} pieces already"
            f"{f' and {len(roles)} role tokens come to them' if roles else ''}. Raise it, or set `kind: take`."
        )
    known = sum(bool(JAPANESE.fullmatch(piece)) for piece in old)
    alphabet: set[str] = set()
    for run in japanese_runs(sample):
        alphabet.update(run.decode("utf-8"))
    size = int(wanted * _SPARE) + known + len(alphabet) + 10
    learnt = train_pieces(japanese_runs(sample), sample, _for_pieces(config, proto, size)) if alphabet else []
    candidates = [(piece, score) for piece, score in learnt if piece not in old and JAPANESE.fullmatch(piece)]
    # Characters first: from three bytes they become one token, and longer pieces are made of them.
    candidates.sort(key=lambda candidate: len(candidate[0]) > 1)
    chosen = _reachable(proto, candidates, wanted)
    if len(chosen) < wanted:
        raise KajiyaError(
            f"tokenizer.vocabulary_size {config.vocabulary_size}: the sample gives only {len(chosen)} new Japanese "
            f"pieces. Set it to {len(old) + len(roles) + len(chosen)} at most, or bring more Japanese text."
        )
    extended = _append(proto, chosen, roles)
    spelling = fast_tokenizer(base).model
    pieces = [*(piece for piece, _ in chosen), *roles]
    made_of = [[token.id for token in spelling.tokenize(piece)] for piece in pieces]
    return extended.SerializeToString(deterministic=True), Extension(len(proto.pieces), pieces, made_of)


def japanese_runs(sample: Sample) -> Iterator[bytes]:
    """Every run of Japanese characters in the drawn sentences."""
    for sentence in sample.sentences():
        for run in JAPANESE.findall(sentence.decode("utf-8")):
            yield run.encode("utf-8")


def without_japanese(text: str) -> str:
    """What stays of a text that no new piece can be part of."""
    return JAPANESE.sub("", text)


def _for_pieces(config: TokenizerSettings, proto: Any, size: int) -> TokenizerSettings:
    algorithm = "bpe" if proto.trainer_spec.model_type == BPE else "unigram"
    return config.model_copy(update={"algorithm": algorithm, "vocabulary_size": size})


def _reachable(proto: Any, candidates: list[tuple[str, float]], wanted: int) -> list[tuple[str, float]]:
    """The first `wanted` candidates that the extended model really gives for their own text.

    Old pieces go first: where they split a new one up before its halves have met, it would never be
    used, and its embedding never trained.
    """
    chosen: list[tuple[str, float]] = []
    rest = iter(candidates)
    while True:
        more = [one for one, _ in zip(rest, range(wanted - len(chosen)), strict=False)]
        chosen += more
        model = fast_tokenizer(_append(proto, chosen, []).SerializeToString()).model
        reached = [one for one in chosen if len(model.tokenize(one[0])) == 1]
        if len(reached) == len(chosen) and (len(chosen) == wanted or not more):
            return chosen
        chosen = reached


def _append(proto: Any, chosen: list[tuple[str, float]], roles: list[str]) -> Any:
    """A copy of the proto with the pieces behind its own."""
    extended = ModelProto()
    extended.CopyFrom(proto)
    scores = [piece.score for piece in proto.pieces if piece.type == NORMAL]
    lowest, highest = min(scores), max(scores)
    bpe = proto.trainer_spec.model_type == BPE
    for place, (piece, score) in enumerate(chosen, start=1):
        settled = (
            lowest - place if bpe else min(highest, max(lowest, round(score * SCORE_STEPS) / SCORE_STEPS))
        )
        extended.pieces.add(piece=piece, score=settled, type=NORMAL)
    for role in roles:
        extended.pieces.add(piece=role, score=0.0, type=CONTROL)
    extended.trainer_spec.vocab_size = len(extended.pieces)
    return extended
