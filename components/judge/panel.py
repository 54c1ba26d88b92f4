"""Put every case before the judge, several at a time, and gather the verdicts."""

import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from components.judge.cases import Case, body, digest, follow_up, shuffled
from components.judge.costs import Bill, Purse, estimate
from components.judge.endpoint import Endpoint, Reply, parallel_requests
from components.judge.replies import ReplyLog
from components.judge.settings import JudgeSettings
from components.judge.verdict import looks_like_a_verdict, read_score
from kajiya.errors import KajiyaError, without_secrets

_FIRST = 20
"""Verdicts after which a judge that has given no score is asked for no more: each of them is paid."""
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Verdict:
    """All that the judge wrote about a case, and the score that was read in the last reply."""

    case: Case
    request: str
    """Digest of the first request."""
    replies: tuple[Reply, ...]
    score: float | None
    """None: no reply held a score that could be read."""

    def record(self, config: JudgeSettings) -> dict[str, Any]:
        """A line of judgements.jsonl. `generator` says who wrote the text: policy.yaml decides what it may be used for."""
        low, high = self.case.scale
        return {
            "set": self.case.set,
            "id": self.case.id,
            "category": self.case.category,
            "turn": self.case.turn,
            "sample": self.case.sample,
            "generator": config.model,
            "prompt": {**self.case.prompts.identity, "kind": self.case.kind},
            "request": self.request,
            "score": self.score,
            "answer_holds_a_verdict": looks_like_a_verdict(self.case.answer),
            "attempts": [
                {**one._asdict(), "score": read_score(one.text, one.ended, low, high)} for one in self.replies
            ],
        }


def judge_all(config: JudgeSettings, cases: list[Case], log: ReplyLog) -> list[Verdict]:
    """A verdict for each case, in the order of `cases`. Replies that `log` holds are not asked for again.

    Raises KajiyaError where no score can be read, of the first verdicts or of all.
    """
    purse = Purse(config)
    known = [_recalled(config, case, _Remembered(log, purse)) for case in cases]
    missing = [place for place, verdict in enumerate(known) if verdict is None]
    asked: dict[int, Verdict] = {}
    given = [verdict for verdict in known if verdict]
    if missing:
        _check_readable(config, given, _FIRST, log)
        wanted = [cases[place] for place in missing]
        expected = estimate(config, wanted)
        purse.check(expected)
        tqdm.write(f"judge: {expected.told(config.price)}", sys.stderr)
        if given:
            tqdm.write(
                f"judge: {len(given):,} of {len(cases):,} verdicts were given before, and are not paid again.",
                sys.stderr,
            )
        found = _asked(config, wanted, log, purse, given)
        asked = {missing[place]: verdict for place, verdict in found.items()}
    verdicts = [verdict or asked[place] for place, verdict in enumerate(known)]
    _check_readable(config, verdicts, 1, log)
    _tell_unreadable(verdicts)
    return verdicts


def _check_readable(config: JudgeSettings, verdicts: list[Verdict], least: int, log: ReplyLog) -> None:
    """Raise KajiyaError where there are as many, and no score in any: that is no judge."""
    if len(verdicts) < least or any(one.score is not None for one in verdicts):
        return
    last = verdicts[-1].replies[-1]
    shown = without_secrets(last.text[:_SHOWN_CHARACTERS])
    raise KajiyaError(
        f"judge: {len(verdicts):,} verdicts, and none holds a score that can be read, such as [[3]]. {config.model} wrote "
        f"(finish_reason {last.ended}): {shown!r}. Check what KAJIYA_JUDGE_URL serves; take another judge.model; or raise "
        f"judge.max_tokens, if the reply ends before its score. All replies are kept in {log.path}: remove it to "
        "ask the same judge the same again."
    )


def _tell_unreadable(verdicts: list[Verdict]) -> None:
    unreadable = sum(one.score is None for one in verdicts)
    if unreadable:
        tqdm.write(
            f"judge: warning: {unreadable:,} of {len(verdicts):,} verdicts hold no score that can be read. They are counted as "
            "unreadable, and the means are those of the others; judgements.jsonl holds what the judge wrote.",
            sys.stderr,
        )


def _recalled(config: JudgeSettings, case: Case, source: "_Remembered") -> Verdict | None:
    """The verdict, if every reply it takes is known."""
    try:
        return _judge(config, case, source)
    except KeyError:
        return None


class _Remembered:
    """Replies from the log alone; each stands on the bill, also where the next one is missing."""

    def __init__(self, log: ReplyLog, purse: Purse) -> None:
        self._log, self._purse = log, purse

    def ask(self, key: str, sent: dict[str, Any]) -> Reply:
        reply = self._log.get(key)
        if reply is None:
            raise KeyError(key)
        self._purse.paid(sent["messages"], reply)
        return reply


class _Asking:
    """Replies from the log where it has them, else from the endpoint, kept at once."""

    def __init__(self, endpoint: Endpoint, log: ReplyLog, purse: Purse) -> None:
        self._endpoint, self._log, self._purse = endpoint, log, purse

    def ask(self, key: str, sent: dict[str, Any]) -> Reply:
        reply = self._log.get(key)
        if reply is None:
            reply = self._purse.spend(sent["messages"], lambda: self._endpoint.ask(sent))
            self._log.keep(key, reply)
        return reply


def _judge(config: JudgeSettings, case: Case, source: Any) -> Verdict:
    """Ask for a score until one can be read, or the recipe says that it is enough."""
    replies: list[Reply] = []
    first, score = "", None
    while score is None and len(replies) < config.asks:
        sent = body(config, follow_up(case, replies[-1].text if replies else None))
        key = digest(sent, case.sample, len(replies) + 1)
        first = first or key
        reply = source.ask(key, sent)
        replies.append(reply)
        score = read_score(reply.text, reply.ended, *case.scale)
    return Verdict(case, first, tuple(replies), score)


def _asked(
    config: JudgeSettings, cases: list[Case], log: ReplyLog, purse: Purse, given: list[Verdict]
) -> dict[int, Verdict]:
    """Verdicts by place, asked in shuffled order. After a failure what is under way is let end: it is paid for."""
    found: dict[int, Verdict] = {}
    known, bill = list(given), Bill()
    total = len(given) + len(cases)
    bar = tqdm(desc="judge", total=total, initial=len(given), dynamic_ncols=True, mininterval=0.5)
    with bar, Endpoint() as endpoint, ThreadPoolExecutor(parallel_requests()) as threads:
        source = _Asking(endpoint, log, purse)
        futures = {
            threads.submit(_judge, config, cases[place], source): place
            for place in shuffled(cases, config.seed)
        }
        try:
            for future in as_completed(futures):
                verdict = found[futures[future]] = future.result()
                for reply in verdict.replies:
                    bill.add(reply)
                bar.set_postfix_str(bill.told(config.price), refresh=False)
                bar.update()
                known.append(verdict)
                _check_readable(config, known, _FIRST, log)
        finally:
            endpoint.stopping.set()
            threads.shutdown(wait=True, cancel_futures=True)
    return found
