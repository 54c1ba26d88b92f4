"""Tokens as they come to text as it may be shown: whole characters, and nothing of a stop string."""

import re

from tokenizers import Tokenizer

_BROKEN = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")

# Tokens of the prompt that are decoded with the first new ones: a space in front of a text is dropped by
# many tokenizers, and one in the middle is not. More where they would begin within a character: one that is
# cut makes a decoder call the whole run of byte pieces unreadable.
_CONTEXT = 6


class TextStream:
    """Text of a growing row of tokens, in pieces."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int]) -> None:
        self._tokenizer = tokenizer
        begin = max(len(prompt) - _CONTEXT, 0)
        self._ids = prompt[begin - self._bytes_of_cut_character(prompt[:begin]) :]
        # A character that the prompt leaves unfinished is shown with the answer that ends it.
        self._settled, self._shown = 0, len(self._ids) - self._bytes_of_cut_character(self._ids)

    def push(self, ids: list[int], last: bool = False) -> str:
        """What the tokens add. A character whose bytes have not all come waits, unless these are the last."""
        self._ids += ids
        before = self._decode(self._ids[self._settled : self._shown])
        now = self._decode(self._ids[self._settled :])
        if now.endswith(_BROKEN) and not last:
            return ""
        # Bytes that are no character spoil those before them in their run; these have been shown already.
        added = now[len(before) :] if now.startswith(before) else self._decode(self._ids[self._shown :])
        # Only what has text goes before the next: after a token that shows nothing a space would be dropped.
        self._settled, self._shown = self._shown if added else self._settled, len(self._ids)
        return added

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def _bytes_of_cut_character(self, ids: list[int]) -> int:
        """How many byte pieces at the end begin a character and do not end it."""
        for back in range(1, min(len(ids), 3) + 1):
            piece = _BYTE.fullmatch(self._tokenizer.id_to_token(ids[-back]) or "")
            if piece is None:
                return 0
            byte = int(piece[1], 16)
            if byte >= 0xC0:
                return back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
            if byte < 0x80:
                return 0
        return 0


class StopFilter:
    """Ends a text before the first of its stop strings, which may come in pieces."""

    def __init__(self, stops: list[str]) -> None:
        self._stops = stops
        self._held = ""
        self.stopped = False

    def push(self, text: str, last: bool = False) -> str:
        """What may be shown: what could begin a stop string is held back until more is known."""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        keep = 0 if last else max((self._overlap(stop) for stop in self._stops), default=0)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown

    def _overlap(self, stop: str) -> int:
        """Characters at the end of what is held that begin `stop`."""
        longest = min(len(self._held), len(stop) - 1)
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
