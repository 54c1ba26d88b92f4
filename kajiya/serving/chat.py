"""A conversation in a terminal, or line by line through a pipe."""

import io
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console

from kajiya.errors import KajiyaError
from kajiya.serving.answer import Answer, Wish
from kajiya.serving.decoding import Sampling
from kajiya.serving.models import Served
from kajiya.serving.prompts import PromptTooLongError, Turns, chat_prompt, speaker_marks, text_prompt

HELP = """/reset          forget the conversation
/system TEXT    set the system message and begin anew; without TEXT take it away
/help           this list
/quit           end (Ctrl-D too); Ctrl-C breaks an answer off
A line that ends in \\ goes on in the next; a line of \"\"\" begins and ends a text of several lines."""

_BLOCK = '"""'

# What a model writes must not move the cursor or change the colours: all control characters but \n and \t.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# What Python reads in the place of bytes that the terminal's encoding does not know.
_NOT_TEXT = re.compile(r"[\ud800-\udfff]")


@dataclass
class Session:
    """What has been said. A model without a chat template continues one growing text instead."""

    served: Served
    sampling: Sampling
    max_tokens: int
    system: str = ""
    turns: Turns = field(default_factory=list)
    text: str = ""
    forgotten: int = 0
    """Turns that fell out of the context with the last prompt."""

    def reset(self) -> None:
        self.turns, self.text, self.forgotten = [], "", 0

    def answer(self, said: str) -> Answer:
        """The answer to come. Nothing is kept until `keep` is told what came of it."""
        self.forgotten = 0
        if not self.served.has_template:
            return Answer(
                self.served, Wish(text_prompt(self.served, self.text + said), self.max_tokens, self.sampling)
            )
        prompt = self._fitting(said)
        tokens, strings = speaker_marks(self.served)
        return Answer(
            self.served, Wish(prompt, self.max_tokens, self.sampling, strings, stop_tokens=frozenset(tokens))
        )

    def keep(self, said: str, answered: str) -> None:
        if self.served.has_template:
            self.turns += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
        else:
            self.text += said + answered

    def _fitting(self, said: str) -> list[int]:
        """The prompt, with as many of the last turns as the context holds beside an answer of some length."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        room = max(1, min(self.max_tokens, self.served.context // 4))
        while True:
            try:
                turns = [*system, *self.turns, {"role": "user", "content": said}]
                return chat_prompt(self.served, turns, room if self.turns else 1)
            except PromptTooLongError:
                if not self.turns:
                    raise
                self.turns = self.turns[2:]
                self.forgotten += 1


def chat(session: Session, out: Console, notes: Console) -> None:
    """Talk until the input ends. out: what the model says; notes: what we say."""
    interactive = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a byte out of place costs its turn, not the talk
    if not session.served.has_template:
        notes.print(
            f"{session.served.name} has no chat template: it was never taught to answer. It continues your text as "
            "it stands, /reset begins a new one.",
            style="yellow",
        )
    if interactive:
        notes.print(
            f"{session.served.name}, context {session.served.context}. /help lists the commands.", style="dim"
        )
    for said in _turns(interactive, notes):
        if not said.isascii() and _NOT_TEXT.search(said):
            notes.print(f"error: this turn is not {sys.stdin.encoding}, and was left out.", style="red")
            continue
        if said.startswith("/") and "\n" not in said:
            if not _obey(said, session, notes):
                return
            continue
        try:
            _respond(said, session, out, notes)
        except (KajiyaError, RuntimeError) as error:  # RuntimeError: out of memory, among others
            notes.print(f"error: {error}", style="red", markup=False)


def _respond(said: str, session: Session, out: Console, notes: Console) -> None:
    answer = session.answer(said)
    if session.forgotten:
        notes.print(f"(the context is full: the oldest {session.forgotten} turns are forgotten)", style="dim")
    answered, started = "", time.monotonic()
    try:
        for piece in answer.text():
            answered += piece
            out.print(_CONTROL.sub("", piece), end="", markup=False, highlight=False, soft_wrap=True)
            out.file.flush()
    except KeyboardInterrupt:
        notes.print("(broken off)", style="dim", end="")
    finally:
        out.print()
    session.keep(said, answered)
    if notes.is_terminal:
        _tell_speed(answer, time.monotonic() - started, notes)


def _tell_speed(answer: Answer, seconds: float, notes: Console) -> None:
    tally = answer.tally
    drafted = f", {tally.accepted} of {tally.guessed} guesses held" if tally.guessed else ""
    cut = ", cut at --max-tokens or the context" if answer.finish_reason == "length" else ""
    notes.print(
        f"({answer.tokens} tokens, {answer.tokens / max(seconds, 1e-9):.0f}/s{drafted}{cut})", style="dim"
    )


def _obey(command: str, session: Session, notes: Console) -> bool:
    """Follow a command; False ends the conversation."""
    name, _, rest = command.partition(" ")
    if name in {"/quit", "/exit"}:
        return False
    if name == "/reset":
        session.reset()
        notes.print("(begun anew)", style="dim")
    elif name == "/system":
        session.reset()
        session.system = rest.strip()
        notes.print(
            f"(begun anew, {'with this' if session.system else 'without a'} system message)", style="dim"
        )
    else:
        if name != "/help":
            notes.print(f"{name}: no such command. There are:", style="red", markup=False)
        notes.print(HELP, markup=False, highlight=False)
    return True


def _turns(interactive: bool, notes: Console) -> Iterator[str]:
    """What the person says, turn by turn; empty ones are passed over."""
    if interactive:
        import readline  # noqa: F401, PLC0415 - gives input() its history and keys
    lines = _lines(interactive, notes)
    for line in lines:
        said = _joined(line, lines).strip("\n")
        if said.strip():
            yield said


def _lines(interactive: bool, notes: Console) -> Iterator[str]:
    while True:
        try:
            line = input("> ") if interactive else sys.stdin.readline()
        except EOFError:
            return
        except KeyboardInterrupt:
            notes.print("(/quit ends)", style="dim")
            continue
        if not interactive and not line:
            return
        yield line.rstrip("\n")


def _joined(line: str, lines: Iterator[str]) -> str:
    """A turn of one line, or of several."""
    if line.strip() == _BLOCK:
        block = []
        for more in lines:
            if more.strip() == _BLOCK:
                break
            block.append(more)
        return "\n".join(block)
    parts = [line]
    while parts[-1].endswith("\\"):
        parts[-1] = parts[-1][:-1]
        parts.append(next(lines, ""))
    return "\n".join(parts)
