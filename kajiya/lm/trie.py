"""A set of strings as a double-array trie (Aoe 1989) over characters: a step is one read of a cache line."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BASE, _CHECK, _VALUE = 0, 1, 2
_UNUSED = -1


class Trie(NamedTuple):
    """From node s, symbol c leads to t = nodes[s, 0] + c if nodes[t, 1] == s; nodes[t, 2] is the string that ends in t.

    The root is node 0; -1 stands where no string ends.
    """

    nodes: NDArray[np.int32]
    symbols: NDArray[np.int32]
    """Per code point its symbol, from 1 up; 0 for characters of no string, which lead nowhere."""


def build_trie(strings: list[str]) -> Trie:
    """The trie of `strings`, all different and none empty, numbered as they come."""
    symbols = np.zeros(0x110000, np.int32)
    alphabet = sorted(set().union(*strings))
    symbols[[ord(character) for character in alphabet]] = np.arange(1, len(alphabet) + 1)
    order = sorted(range(len(strings)), key=strings.__getitem__)
    points = np.frombuffer("".join(strings[i] for i in order).encode("utf-32-le"), np.uint32)
    offsets = np.cumsum([0, *(len(strings[i]) for i in order)])
    nodes = _build(symbols[points], offsets, np.array(order, np.int32), len(alphabet) + 1)
    return Trie(nodes, symbols)


@njit(cache=True)
def _build(symbols, offsets, numbers, reach):  # type: ignore[no-untyped-def]
    nodes = np.full((len(symbols) + 2 * reach + 2, 3), _UNUSED, np.int32)
    nodes[0, _BASE], nodes[0, _CHECK] = 0, 0
    # (node, first string, last string + 1, depth) of the nodes whose children are still to be placed.
    waiting = [(0, 0, len(numbers), 0)]
    first_free, last_used = 1, 0
    while waiting:
        node, begin, end, depth = waiting.pop()
        nodes[node, _BASE] = 0
        if offsets[begin] + depth == offsets[begin + 1]:  # the shortest comes first
            nodes[node, _VALUE] = numbers[begin]
            begin += 1
        if begin == end:
            continue
        while nodes[first_free, _CHECK] != _UNUSED:
            first_free += 1
        base = max(0, first_free - symbols[offsets[begin] + depth])
        while not _fits(nodes, base, symbols, offsets, begin, end, depth):
            base += 1
        nodes[node, _BASE] = base
        group = begin
        for i in range(begin, end):
            symbol = symbols[offsets[i] + depth]
            if i + 1 == end or symbols[offsets[i + 1] + depth] != symbol:
                child = base + symbol
                nodes[child, _CHECK] = node
                last_used = max(last_used, child)
                waiting.append((child, group, i + 1, depth + 1))
                group = i + 1
    return nodes[: last_used + reach + 1].copy()  # a step from the last node stays inside


@njit(cache=True)
def _fits(  # type: ignore[no-untyped-def]  # noqa: PLR0913, PLR0917 - flat arrays, for numba
    nodes, base, symbols, offsets, begin, end, depth
):
    for i in range(begin, end):  # noqa: SIM110 - numba knows no all()
        if nodes[base + symbols[offsets[i] + depth], _CHECK] != _UNUSED:
            return False
    return True
