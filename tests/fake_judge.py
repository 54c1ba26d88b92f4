"""A judge on loopback that speaks OpenAI's chat completions, scores by content, and fails on command."""

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = "評価は次のとおりです。\n[[{score}]]"


class FakeJudge:
    """Use as a context manager; `url` is what KAJIYA_JUDGE_URL names.

    faults: for the n-th request (from 1) what goes wrong: "429", "500", "hang", "cut", "html", "401", "400",
    "quota", "close", "gzip"; 0 stands for every request; "length" answers, and says that the reply was cut.
    unreadable: a reply without a score for the n-th request.
    score: of the user's message.
    """

    def __init__(
        self, faults: dict[int, str] | None = None, key: str = "", unreadable: tuple[int, ...] = ()
    ) -> None:
        self.faults, self.key, self.unreadable = faults or {}, key, set(unreadable)
        self.bodies: list[dict[str, Any]] = []
        self.answered: Counter[str] = Counter()
        """Requests that got a whole answer, by their body: what a client has paid for."""
        self.most_at_once = 0
        self.delay_seconds = 0.0
        self.retry_after = "0"
        self.usage = True
        self._now = 0
        self._lock = threading.Lock()

    def score(self, user: str) -> int:
        return 1 + len(user) % 5

    def reply(self, body: dict[str, Any]) -> str:
        return GOOD.format(score=self.score(body["messages"][1]["content"]))

    def __enter__(self) -> "FakeJudge":
        judge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer: two would wait for each other

            def do_POST(self) -> None:
                judge._serve(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.bodies.append(body)
            number = len(self.bodies)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            time.sleep(self.delay_seconds)
            self._answer(handler, body, number)
        except OSError:  # the client went away
            pass
        finally:
            with self._lock:
                self._now -= 1

    def _answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any], number: int) -> None:
        fault = self.faults.get(number, self.faults.get(0))
        if handler.path != "/v1/chat/completions":
            _send(handler, 404, {"error": {"message": f"no route {handler.path}"}})
        elif self.key and handler.headers.get("Authorization") != f"Bearer {self.key}":
            _send(handler, 401, {"error": {"message": "Incorrect API key", "code": "invalid_api_key"}})
        elif fault == "hang":
            time.sleep(3)
            handler.close_connection = True
        elif fault == "close":
            handler.close_connection = True
        elif fault == "gzip":
            _send(handler, 200, {}, {"Content-Encoding": "gzip"})
        elif fault in ("cut", "html"):
            text = b"<html>bad gateway</html>" if fault == "html" else b'{"choices": [{"mess'
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(text) + (400 if fault == "cut" else 0)))
            handler.end_headers()
            handler.wfile.write(text)
            handler.close_connection = True
        elif fault == "quota":
            _send(
                handler, 429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
            )
        elif fault and fault != "length":
            headers = {"Retry-After": self.retry_after} if fault == "429" else {}
            _send(handler, int(fault), {"error": {"message": f"fault {fault}"}}, headers)
        else:
            text = "よい答えです。" if number in self.unreadable else self.reply(body)
            self._send_completion(handler, body, text, fault or "stop")

    def _send_completion(
        self, handler: BaseHTTPRequestHandler, body: dict[str, Any], text: str, ended: str
    ) -> None:
        words = sum(len(one["content"]) for one in body["messages"])
        answer: dict[str, Any] = {
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": ended}
            ],
        }
        if self.usage:
            answer["usage"] = {"prompt_tokens": words, "completion_tokens": len(text)}
        _send(handler, 200, answer)
        with self._lock:
            self.answered[json.dumps(body, sort_keys=True)] += 1


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    content: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> None:
    text = json.dumps(content).encode()
    handler.send_response(status)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(text)),
        **(headers or {}),
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(text)
