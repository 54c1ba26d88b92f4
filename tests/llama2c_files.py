"""Files of llama2.c written small, and what llama2.c computes from them, in NumPy."""

import itertools
import struct
from pathlib import Path

import numpy as np

# Width 12 and 3 heads of 4: halves and pairs differ, and 3 heads share 1 key-value head.
HEADER = {"width": 12, "ffn": 20, "layers": 2, "heads": 3, "kv_heads": 1, "vocabulary": 270, "context": 16}
LEARNT = [b" t", b"he", b" the", b" \xe5\xb7\x9d", b"\xe5\xb7\x9d", b" ", b"t", b"h", b"e", b"a", b"aa"]
"""Pieces after the special ones and the bytes, the best first: 川 stands in two of them."""


def shapes(header):
    width, layers, ffn = header["width"], header["layers"], header["ffn"]
    size = width // header["heads"]
    kv_width, vocabulary = header["kv_heads"] * size, abs(header["vocabulary"])
    named = {
        "embedding": (vocabulary, width),
        "attention_norm": (layers, width),
        "q": (layers, width, width),
        "k": (layers, kv_width, width),
        "v": (layers, kv_width, width),
        "o": (layers, width, width),
        "ffn_norm": (layers, width),
        "w1": (layers, ffn, width),
        "w2": (layers, width, ffn),
        "w3": (layers, ffn, width),
        "norm": (width,),
        "cosines": (header["context"], size // 2),
        "sines": (header["context"], size // 2),
    }
    return named if header["vocabulary"] > 0 else named | {"head": (vocabulary, width)}


def angles(header, base=10_000.0):
    size = header["width"] // header["heads"]
    return np.outer(np.arange(header["context"]), base ** (-np.arange(0, size, 2) / size))


def random_weights(header, seed=0):
    rng = np.random.default_rng(seed)
    weights = {name: rng.normal(0, 0.3, shape).astype("<f4") for name, shape in shapes(header).items()}
    return weights | {"cosines": np.cos(angles(header)), "sines": np.sin(angles(header))}


def write_checkpoint(path: Path, header, weights, tail: bytes = b"") -> Path:
    body = b"".join(weights[name].astype("<f4").tobytes() for name in shapes(header))
    path.write_bytes(struct.pack("<7i", *header.values()) + body + tail)
    return path


def pieces(learnt=LEARNT):
    fixed = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(f"<0x{i:02X}>".encode() for i in range(256))]
    return [(0.0, raw) for raw in fixed] + [(-float(rank), raw) for rank, raw in enumerate(learnt)]


def write_tokenizer(path: Path, content=None) -> Path:
    content = content or pieces()
    longest = max(len(raw) for _, raw in content)
    body = b"".join(struct.pack("<fi", score, len(raw)) + raw for score, raw in content)
    path.write_bytes(struct.pack("<i", longest) + body)
    return path


def encode(content, text):
    """run.c's encode: space in front, characters or their bytes, then the best neighbours, again and again."""
    number = {raw: i for i, (_, raw) in enumerate(content)}
    tokens = [1, number[b" "]] if text else [1]
    for character in text:
        raw = character.encode()
        tokens += [number[raw]] if raw in number else [byte + 3 for byte in raw]
    while True:
        unions = [
            (content[number[union]][0], -at, number[union])
            for at, union in enumerate(content[a][1] + content[b][1] for a, b in itertools.pairwise(tokens))
            if union in number
        ]
        if not unions:
            return tokens
        _, at, union = max(unions)
        tokens[-at : -at + 2] = [union]


def logits(header, weights, tokens):
    """run.c's forward over `tokens`: rotary angles on neighbouring pairs, shape (tokens, vocabulary)."""
    heads, groups = header["heads"], header["heads"] // header["kv_heads"]
    count, size = len(tokens), header["width"] // heads
    angle = angles(header)[:count]
    x = weights["embedding"][tokens].astype(np.float64)
    for layer in range(header["layers"]):
        normed = _norm(x, weights["attention_norm"][layer])
        q, k, v = ((normed @ weights[name][layer].T).reshape(count, -1, size) for name in "qkv")
        q, k = _rotate(q, angle), _rotate(k, angle)
        mixed = [_attend(q[:, head], k[:, head // groups], v[:, head // groups]) for head in range(heads)]
        x = x + np.concatenate(mixed, axis=1) @ weights["o"][layer].T
        normed = _norm(x, weights["ffn_norm"][layer])
        gate, up = normed @ weights["w1"][layer].T, normed @ weights["w3"][layer].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weights["w2"][layer].T
    return _norm(x, weights["norm"]) @ weights.get("head", weights["embedding"]).T


def _norm(x, weight):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight


def _rotate(x, angle):
    turned = np.empty_like(x)
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    turned[..., 0::2] = x[..., 0::2] * cosine - x[..., 1::2] * sine
    turned[..., 1::2] = x[..., 0::2] * sine + x[..., 1::2] * cosine
    return turned


def _attend(q, k, v):
    scores = np.where(np.tri(len(q), dtype=bool), q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v
