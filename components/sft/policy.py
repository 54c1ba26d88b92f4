"""Which conversations the model may learn from: by licence, by who wrote them, and not by what it is measured on."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.sft.examples import Rejected
from components.sft.settings import SftSettings
from kajiya.errors import KajiyaError
from kajiya.lm.conversations import Conversation
from kajiya.overlap import load_watched, overlap_of
from kajiya.policy import Kind, Refusal, load_policy

_BATCH = 4096  # conversations measured at once


class Gate:
    """Lets conversations through, or says why not."""

    def __init__(self, config: SftSettings, evaluation_sets: Path, policy: Path) -> None:
        self._config, self._path, self._policy = config, policy, load_policy(policy)
        self._watched = load_watched(config.evaluation_overlap, evaluation_sets, config.evaluation_splits)
        self._told: set[str] = set()

    def judge(self, conversations: Iterable[Conversation]) -> Iterator[tuple[Conversation, Rejected | None]]:
        """Each conversation in order, with its refusal or None."""
        batch: list[Conversation] = []
        for conversation in conversations:
            batch.append(conversation)
            if len(batch) == _BATCH:
                yield from self._judge(batch)
                batch = []
        yield from self._judge(batch)

    def _judge(self, batch: list[Conversation]) -> Iterator[tuple[Conversation, Rejected | None]]:
        # All turns together: an item's context may stand in one and its question in the next.
        texts = ["\n".join(message.content for message in one.messages) for one in batch]
        bound = self._config.evaluation_overlap.max_overlap
        found = overlap_of(texts, self._watched, bound)
        for number, conversation in enumerate(batch):
            refused = self._by_policy(conversation)
            if refused is None and found.over[number]:
                item = self._watched.label(int(found.worst_text[number]))
                refused = Rejected.of(
                    conversation, "evaluation_overlap", f"{item} {found.worst_share[number]:.4g}"
                )
            yield conversation, refused

    def _by_policy(self, conversation: Conversation) -> Rejected | None:
        kinds: tuple[tuple[Kind, str], ...] = (
            ("generator", conversation.generator),
            ("license", conversation.license),
        )
        for kind, name in kinds:
            if refusal := self._policy.refusal(kind, name, "tuning"):
                message = refusal.explain(f"{conversation.where} ({conversation.id})", self._path)
                if self._config.on_forbidden == "stop":
                    raise KajiyaError(
                        f"{message}\nOr take the record out, or set `sft.on_forbidden: drop` to leave such records out."
                    )
                self._tell(refusal, message)
                line = f"line {refusal.line}" if refusal.line else "no line"
                return Rejected.of(conversation, refusal.reason, f"{line} of {self._path.name}")
        return None

    def _tell(self, refusal: Refusal, message: str) -> None:
        """Once per name: the records themselves are counted and kept."""
        if refusal.reason not in self._told:
            self._told.add(refusal.reason)
            print(f"sft: left out, and all alike: {message}", file=sys.stderr)
