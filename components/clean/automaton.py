"""Find many words in a text in one pass (Aho and Corasick 1975), over code points."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Automaton(NamedTuple):
    """Finds words as they end, the longest first, and begins anew after each: matches never overlap.

    From `state`, a character leads to `steps[state, symbols[character]]`; there `words[state]` is the
    number of the word that ends, or -1. Characters beyond the basic plane lead to state 0.
    Who does not begin anew finds overlapping words too: `groups[state]` has the bits of all that end.
    """

    symbols: np.ndarray
    steps: np.ndarray
    words: np.ndarray
    groups: np.ndarray


def automaton(words: Sequence[str], groups: Sequence[int] = ()) -> Automaton:
    """words: in lower case; a text's Latin letters match in either case. groups: bits for each word."""
    letters = sorted({letter for word in words for letter in word})
    symbols = np.zeros(0x10000, np.uint16)
    for number, letter in enumerate(letters, 1):
        symbols[[ord(letter), ord(letter.upper()) if letter.isascii() else ord(letter)]] = number
    children, ends = _trie(words)
    steps = np.zeros((len(children), len(letters) + 1), np.uint16)
    found = np.array(ends, np.int32)
    bits = np.array([groups[word] if groups and word >= 0 else 0 for word in ends], np.int64)
    suffix = [0] * len(children)  # the state of the longest proper suffix that begins a word
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        if found[state] < 0:
            found[state] = found[suffix[state]]
        bits[state] |= bits[suffix[state]]
        for number, letter in enumerate(letters, 1):
            child = children[state].get(letter)
            if child is None:
                steps[state, number] = steps[suffix[state], number] if state else 0
                continue
            suffix[child] = int(steps[suffix[state], number]) if state else 0
            steps[state, number] = child
            waiting.append(child)
    return Automaton(symbols, steps, found, bits)


def _trie(words: Sequence[str]) -> tuple[list[dict[str, int]], list[int]]:
    """Children by letter, and the word that ends, of each state."""
    children: list[dict[str, int]] = [{}]
    ends = [-1]
    for number, word in enumerate(words):
        state = 0
        for letter in word:
            if letter not in children[state]:
                children[state][letter] = len(children)
                children.append({})
                ends.append(-1)
            state = children[state][letter]
        ends[state] = number
    return children, ends
