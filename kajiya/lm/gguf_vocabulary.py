"""A model's tokenizer as llama.cpp is told of it: pieces, scores, kinds, and what a text begins with.

llama.cpp has three algorithms for scored pieces. `llama` joins the best-scored neighbours, as SentencePiece's BPE does,
with bytes for characters without a piece. `t5` looks for the most probable pieces, as unigram does, but knows no bytes:
such a character, as every rare kanji is, is <unk> to it. `plamo2` does so too, falls back to
bytes, and puts nothing before a text: this is what our unigram tokenizers need. It adds up whole numbers,
10,000 to the unit of a score, and begins at the end of the text, so of two ways that are equally probable (of a row
of forty dashes) it may take the other; both decode to the same text.

Scores and kinds come from the SentencePiece model, so there must be one (tokenizer.model), and tokenizer.json
must cut texts as it does.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer

from kajiya.errors import KajiyaError
from kajiya.lm.export import (
    BYTE,
    NORMAL,
    SCORE_STEPS,
    UNIGRAM,
    adds_exactly,
    read_proto,
    require_convertible,
)
from kajiya.lm.tokenizer import CONFIG_FILE, MODEL_FILE, differences, load_tokenizer

# What the two files must agree on before one of them stands for the other.
_PROBES = (
    "", " a", "吾輩は猫である。名前はまだ無い。\n", "  二つの空白 end ", "12,345円、３％", "ｱｲｳ 😀𩸽 e\u0301", "\t\n\n\n",
    "</s><unk><0x0A>", "def f(x):\n    return x  # 値\n", "ああああああああああ", "…" * 9,
)  # fmt: skip
# Below what plamo2 takes for a piece at all, so a literal "</s>" stays letters.
_NEVER_CHOSEN = -10_000.0
_PLAMO2_STEPS = 10_000
_ROLES = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unk", "pad_token": "pad"}
_TEMPLATE = "chat_template.jinja"


class Vocabulary(NamedTuple):
    algorithm: str
    """llama or plamo2, as llama.cpp names them."""
    tokens: list[str]
    scores: list[float]
    kinds: list[int]
    special: dict[str, int]
    """Ids by role: bos, eos, eot, unk, pad."""
    begins: bool
    """A text begins with bos."""
    ends: bool
    space_before_text: bool
    template: str | None
    unsaid_ends: list[str]
    """Tokens at which generation ends in transformers, and for which the file has no role left."""

    def add_to(self, writer: GGUFWriter) -> None:
        writer.add_tokenizer_model(self.algorithm)
        writer.add_tokenizer_pre("default")
        writer.add_token_list(self.tokens)
        writer.add_token_scores(self.scores)
        writer.add_token_types(self.kinds)
        for role, number in self.special.items():
            getattr(writer, f"add_{role}_token_id")(number)
        # All said: llama.cpp's defaults differ from algorithm to algorithm.
        writer.add_add_bos_token(self.begins)
        writer.add_add_eos_token(self.ends)
        writer.add_add_space_prefix(self.space_before_text)
        writer.add_remove_extra_whitespaces(False)
        if self.template is not None:
            writer.add_chat_template(self.template)

    def notes(self) -> list[str]:
        """What llama.cpp does otherwise."""
        told = []
        if self.unsaid_ends:
            told.append(
                f"generation_config.json ends texts at {', '.join(self.unsaid_ends)} too, for which the file has no place: "
                "llama.cpp writes on there unless its caller names them as stop strings."
            )
        if self.algorithm == "plamo2":
            told.append(
                "texts are cut by llama.cpp's search of PLaMo-2. Where two ways are equally probable, as in a row of "
                "forty dashes, it may take the other; and a literal ▁ is spelt in bytes, not read as a space."
            )
        return told


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """The vocabulary of a model folder; rows: of its embedding. Raises KajiyaError for what llama.cpp cannot do alike."""
    path = folder / MODEL_FILE
    if not path.is_file():
        raise KajiyaError(
            f"{folder}: no {MODEL_FILE} (SentencePiece), from which llama.cpp's pieces and scores are written. For other "
            "tokenizers use convert_hf_to_gguf.py of llama.cpp."
        )
    model = path.read_bytes()
    proto = read_proto(model)
    require_convertible(proto)
    tokenizer = load_tokenizer(folder)
    _require_same(model, tokenizer, folder)
    if len(proto.pieces) > rows:
        raise KajiyaError(f"{path}: {len(proto.pieces)} pieces, but the embedding has {rows} rows.")
    told = _read_object(folder / CONFIG_FILE)
    special, unsaid_ends = _special(told, tokenizer, folder)
    begins, ends = _surrounds(tokenizer, special, folder)
    tokens, scores, kinds = _pieces(proto, tokenizer, rows)
    unigram = proto.trainer_spec.model_type == UNIGRAM
    if unigram:
        _require_plamo2(proto, begins or ends, path)
        tokens, scores = _as_plamo2(tokens, scores, kinds)
    return Vocabulary(
        algorithm="plamo2" if unigram else "llama",
        tokens=tokens,
        scores=scores,
        kinds=kinds,
        special=special,
        begins=begins,
        ends=ends,
        space_before_text=proto.normalizer_spec.add_dummy_prefix,
        template=_template(folder, told),
        unsaid_ends=unsaid_ends,
    )


def _pieces(proto: Any, tokenizer: Tokenizer, rows: int) -> tuple[list[str], list[float], list[int]]:
    """Of every row: SentencePiece's numbers of kinds are GGUF's, too."""
    tokens = [piece.piece for piece in proto.pieces]
    scores = [float(piece.score) for piece in proto.pieces]
    kinds = [int(piece.type) for piece in proto.pieces]
    added = tokenizer.get_added_tokens_decoder()
    for row in range(len(tokens), rows):
        token = added.get(row)
        tokens.append(token.content if token else f"[PAD{row}]")
        scores.append(_NEVER_CHOSEN)
        kind = (
            TokenType.UNUSED
            if token is None
            else TokenType.CONTROL
            if token.special
            else TokenType.USER_DEFINED
        )
        kinds.append(int(kind))
    for row, token in added.items():
        if token.special and kinds[row] == NORMAL:
            kinds[row] = int(TokenType.CONTROL)
    return tokens, scores, kinds


def _require_plamo2(proto: Any, surrounded: bool, path: Path) -> None:
    """Raise KajiyaError where the one algorithm of llama.cpp that fits a unigram with bytes would cut otherwise."""
    problems = {
        "puts a space before every text": proto.normalizer_spec.add_dummy_prefix,
        "puts a token before or behind a text": surrounded,
        "has scores that are no multiples of 1/256": not adds_exactly(proto),
    }
    if found := [problem for problem, there in problems.items() if there]:
        raise KajiyaError(
            f"{path}: a unigram tokenizer that {' and '.join(found)}. llama.cpp has no algorithm that cuts as it does "
            "and spells rare characters in bytes. Serve the folder itself (`kajiya serve`, vLLM), or train a "
            "tokenizer with `algorithm: bpe`."
        )


def _as_plamo2(tokens: list[str], scores: list[float], kinds: list[int]) -> tuple[list[str], list[float]]:
    """Spaces as they are, and scores that are whole numbers once llama.cpp has multiplied them."""
    spelt = [
        token.replace("▁", " ") if kind == NORMAL else token
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    scaled = [
        score * SCORE_STEPS / _PLAMO2_STEPS if kind == NORMAL else 0.0 if kind == BYTE else _NEVER_CHOSEN
        for score, kind in zip(scores, kinds, strict=True)
    ]
    return spelt, scaled


def _require_same(model: bytes, tokenizer: Tokenizer, folder: Path) -> None:
    different = differences(model, tokenizer, _PROBES)
    if different:
        text, expected, found = different[0]
        raise KajiyaError(
            f"{folder}: tokenizer.json cuts {text!r} into {found}, {MODEL_FILE} into {expected}. llama.cpp would follow "
            "the second. Use convert_hf_to_gguf.py of llama.cpp."
        )


def _read_object(path: Path) -> dict[str, Any]:
    """Of a file that need not be there."""
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise KajiyaError(f"{path}: not readable as JSON ({error}). Mend it, or copy it anew.") from None
    if not isinstance(told, dict):
        raise KajiyaError(f"{path}: holds no JSON object. Mend it, or copy it anew.")
    return told


def _special(told: dict[str, Any], tokenizer: Tokenizer, folder: Path) -> tuple[dict[str, int], list[str]]:
    """Ids by role, and end tokens without one. The second token at which generation ends is llama.cpp's end of turn."""
    special = {}
    for name, role in _ROLES.items():
        token = told.get(name)
        content = token["content"] if isinstance(token, dict) else token
        number = tokenizer.token_to_id(content) if content else None
        if number is not None:
            special[role] = int(number)
    ends = _read_object(folder / "generation_config.json").get("eos_token_id")
    ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
    others = [int(end) for end in ends if end != special.get("eos")]
    if others:
        special["eot"] = others[0]
    return special, [tokenizer.id_to_token(end) or f"token {end}" for end in others[1:]]


def _surrounds(tokenizer: Tokenizer, special: dict[str, int], folder: Path) -> tuple[bool, bool]:
    """Whether bos and eos are put around a text."""
    bare, full = (tokenizer.encode("a", add_special_tokens=added).ids for added in (False, True))
    for begins in (False, True):
        for ends in (False, True):
            before = [special.get("bos")] if begins else []
            after = [special.get("eos")] if ends else []
            if [*before, *bare, *after] == full:
                return begins, ends
    raise KajiyaError(
        f"{folder}: tokenizer.json makes {full} of {bare}; llama.cpp puts nothing but bos and eos around a text."
    )


def _template(folder: Path, told: dict[str, Any]) -> str | None:
    path = folder / _TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = told.get("chat_template")
    return found if isinstance(found, str) else None
