"""The server on loopback, asked as OpenAI's clients ask it."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from served_model import write_pair, write_tokenizer_of_corpus

from kajiya.errors import KajiyaError
from kajiya.serving import prompts, vllm
from kajiya.serving import server as server_module
from kajiya.serving.answer import Answer, Wish
from kajiya.serving.guard import Guard, api_key
from kajiya.serving.models import open_model
from kajiya.serving.prompts import PromptTooLongError, chat_prompt, text_prompt
from kajiya.serving.server import Api

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return write_pair(folder, write_tokenizer_of_corpus(folder), context=2048)


@pytest.fixture(scope="module")
def served(folders):
    return open_model(*map(str, folders))


@contextmanager
def listening(app):
    """A real server on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


def ask(app, path="/v1/models", body=None, base_url="http://127.0.0.1", **headers):
    """A single request without a port."""

    async def asked():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers) as one:
            return await (one.get(path) if body is None else one.post(path, json=body))

    return asyncio.run(asked())


@pytest.fixture(scope="module")
def client(served):
    with (
        listening(Guard(Api(served).app(), None)) as address,
        httpx.Client(base_url=address, timeout=60) as one,
    ):
        yield one


def chat_body(text="札幌は", **more):
    return {
        "model": "model",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 12,
        "temperature": 0,
        **more,
    }


def expected(served, text="札幌は", limit=12):
    answer = Answer(served, Wish(chat_prompt(served, [{"role": "user", "content": text}]), limit))
    return "".join(answer.text()), answer


def events(response):
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


def test_models_lists_the_one_that_is_served(client):
    listed = client.get("/v1/models").json()

    assert [one["id"] for one in listed["data"]] == ["model"]
    assert client.get("/v1/models/model").json() == listed["data"][0]
    assert listed["data"][0]["object"] == "model"


def test_chat_completion_says_what_the_model_says_and_counts_tokens(client, served):
    text, answer = expected(served)

    response = client.post("/v1/chat/completions", json=chat_body())

    content = response.json()
    assert response.status_code == 200
    assert content["object"] == "chat.completion"
    assert content["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "logprobs": None,
            "finish_reason": "length",
        }
    ]
    prompt = len(answer.wish.prompt)
    assert content["usage"] == {"prompt_tokens": prompt, "completion_tokens": 12, "total_tokens": prompt + 12}


def test_chat_in_a_stream_is_the_same_text_in_pieces(client, served):
    body = chat_body(stream=True, stream_options={"include_usage": True})

    response = client.post("/v1/chat/completions", json=body)

    *chunks, done = events(response)
    chunks = [json.loads(chunk) for chunk in chunks]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(deltas) == expected(served)[0]
    assert len([delta for delta in deltas if delta]) > 2
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"]) == ([], 12)


@pytest.mark.parametrize("stream", [False, True])
def test_completion_continues_a_text(client, served, stream):
    answer = Answer(served, Wish(text_prompt(served, "先週、"), 16))  # 16: OpenAI's default
    text = "".join(answer.text())

    response = client.post(
        "/v1/completions", json={"model": "model", "prompt": "先週、", "temperature": 0, "stream": stream}
    )

    if stream:
        *chunks, _ = events(response)
        found = "".join(json.loads(chunk)["choices"][0]["text"] for chunk in chunks)
    else:
        assert response.json()["object"] == "text_completion"
        found = response.json()["choices"][0]["text"]
    assert found == text


def test_completion_of_token_ids_is_that_of_their_text(client, served):
    answers = [
        client.post("/v1/completions", json={"model": "model", "prompt": prompt, "temperature": 0}).json()
        for prompt in ("先週、", text_prompt(served, "先週、"), ["先週、"])
    ]

    assert len({one["choices"][0]["text"] for one in answers}) == 1


def test_stop_string_ends_the_text_before_it(client, served):
    whole = expected(served, limit=40)[0]
    stop = whole[8:11]

    choice = client.post("/v1/chat/completions", json=chat_body(max_tokens=40, stop=[stop])).json()[
        "choices"
    ][0]

    assert choice["message"]["content"] == whole[: whole.index(stop)]
    assert choice["finish_reason"] == "stop"


def test_seed_repeats_a_drawn_answer(client):
    bodies = [chat_body(temperature=1, top_p=0.95, seed=seed) for seed in (7, 7, 8)]

    said = [client.post("/v1/chat/completions", json=body).json()["choices"][0] for body in bodies]

    assert said[0] == said[1] != said[2]


def test_requests_at_the_same_time_get_the_answers_they_get_alone(client, served):
    texts = ["札幌は", "那覇の", "先週、", "うどん", "Visitors"] * 2

    with ThreadPoolExecutor(len(texts)) as pool:
        replies = list(
            pool.map(lambda text: client.post("/v1/chat/completions", json=chat_body(text)), texts)
        )

    said = [reply.json()["choices"][0]["message"]["content"] for reply in replies]
    assert said == [expected(served, text)[0] for text in texts]


def test_client_that_goes_away_ends_its_answer_and_frees_the_model(client, served, monkeypatch):
    begun = []

    class Remembered(Answer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            begun.append(self)

        def text(self):
            for piece in super().text():
                time.sleep(0.02)  # so long an answer outlasts the client's patience on any machine
                yield piece

    monkeypatch.setattr(server_module, "Answer", Remembered)
    long = chat_body(max_tokens=2000, stream=True, temperature=1.5, seed=1)
    with client.stream("POST", "/v1/chat/completions", json=long) as response:
        next(response.iter_lines())
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=chat_body(max_tokens=2000), timeout=0.5)

    reply = client.post("/v1/chat/completions", json=chat_body())

    assert reply.json()["choices"][0]["message"]["content"] == expected(served)[0]
    assert [answer.tokens < 2000 for answer in begun] == [True, True, True]


@pytest.mark.parametrize(
    ("change", "status", "code", "param", "words"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found", "model", "this server has 'model'"),
        ({"messages": []}, 400, None, "messages", "at least 1 item"),
        ({"messages": "札幌"}, 400, None, "messages", "valid array"),
        ({"messages": [{"role": "tool", "content": "1"}]}, 400, None, "messages.0.role", "'system'"),
        (
            {"messages": [{"role": "user", "content": "</s>"}]},
            400,
            "invalid_prompt",
            "messages",
            "holds </s>",
        ),
        (
            {"messages": [{"role": "user", "content": "札幌" * 3000}]},
            400,
            "context_length_exceeded",
            "messages",
            "2048",
        ),
        ({"max_tokens": 0}, 400, None, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": "5"}, 400, None, "max_tokens", "valid integer"),
        ({"temperature": 3}, 400, None, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, 400, None, "top_p", "greater than 0"),
        ({"stop": [""]}, 400, None, "stop", "none of them empty"),
        ({"n": 2}, 400, "unsupported_parameter", "n", "not supported"),
        ({"tools": [{"type": "function"}]}, 400, "unsupported_parameter", "tools", "not supported"),
        ({"temprature": 1}, 400, "unknown_parameter", "temprature", "unknown parameter"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, dict) else "",
)
def test_request_that_cannot_be_followed_is_an_error_in_openais_form(
    client, change, status, code, param, words
):
    response = client.post("/v1/chat/completions", json=chat_body() | change)

    error = response.json()["error"]
    assert response.status_code == status
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", "application/json", 400),
        ("POST", "/v1/chat/completions", b"", "application/json", 400),
        ("POST", "/v1/chat/completions", b"[1]", "application/json", 400),
        ("POST", "/v1/chat/completions", b"\xff\xfe", "application/json", 400),
        ("POST", "/v1/chat/completions", b"{}", "text/plain", 415),
        ("POST", "/v1/completions", b" " * (9 << 20), "application/json", 413),
        ("GET", "/v1/chat/completions", b"", "application/json", 405),
        ("GET", "/v1/embeddings", b"", "application/json", 404),
        ("GET", "/v1/models/other", b"", "application/json", 404),
    ],
    ids=["half", "empty", "list", "not_utf8", "text", "large", "method", "path", "model"],
)
def test_odd_request_is_an_error_in_openais_form(client, method, path, content, kind, status):
    response = client.request(method, path, content=content, headers={"content-type": kind})

    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_parameters_that_ask_for_nothing_are_taken(client):
    body = chat_body(
        n=1, user="me", tools=[], frequency_penalty=0, response_format={"type": "text"}, stop=None
    )

    assert client.post("/v1/chat/completions", json=body).status_code == 200


def test_message_in_parts_is_read_as_one_text(client, served):
    parts = [{"type": "text", "text": "札"}, {"type": "text", "text": "幌は"}]
    body = chat_body() | {"messages": [{"role": "user", "content": parts}]}

    reply = client.post("/v1/chat/completions", json=body).json()

    assert reply["choices"][0]["message"]["content"] == expected(served)[0]


def test_chat_with_a_model_without_a_template_is_sent_to_completions(served):
    tokenizer = served.tokenizer.__class__.from_pretrained(served.tokenizer.name_or_path)
    tokenizer.chat_template = None
    base = served.__class__(**{**vars(served), "tokenizer": tokenizer})

    response = ask(Api(base).app(), "/v1/chat/completions", chat_body())

    assert response.status_code == 400
    assert "/v1/completions" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "Basic secret"}, 401),
        ({"authorization": "Bearer secret"}, 200),
    ],
    ids=["none", "wrong", "basic", "right"],
)
def test_key_is_asked_for_where_there_is_one(served, headers, status):
    app = Guard(Api(served).app(), "secret")

    response = ask(app, base_url="http://models.example.org", **headers)

    assert response.status_code == status
    assert ("error" in response.json()) == (status == 401)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("rebound.example.org", 403),
        ("[::1].example.org", 403),
        ("127.0.0.1.example.org", 403),
        ("[2001:db8::1]", 403),
    ],
)
def test_without_a_key_only_this_machine_is_answered(served, host, status):
    assert ask(Guard(Api(served).app(), None), host=host).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "models.example.org"])
def test_host_that_others_reach_needs_a_key(host, monkeypatch):
    monkeypatch.delenv("KAJIYA_API_KEY", raising=False)
    with pytest.raises(KajiyaError, match="set KAJIYA_API_KEY"):
        api_key(host)

    monkeypatch.setenv("KAJIYA_API_KEY", "secret")
    assert api_key(host) == "secret"


@pytest.mark.parametrize("key", ["鍵", "kéy", "a\tb"])
def test_key_that_no_client_could_match_is_refused(key, monkeypatch):
    monkeypatch.setenv("KAJIYA_API_KEY", key)

    with pytest.raises(KajiyaError, match="Choose one of ASCII"):
        api_key("127.0.0.1")


def test_temperature_next_to_nothing_is_greedy(client, served):
    reply = client.post("/v1/chat/completions", json=chat_body(temperature=1e-45)).json()

    assert reply["choices"][0]["message"]["content"] == expected(served)[0]


def test_prompt_that_is_too_long_whatever_its_tokens_is_not_cut_into_them(served, monkeypatch):
    longest = max(map(len, served.pieces.get_vocab()))
    monkeypatch.setattr(prompts, "control_token_in", None)  # the first that would read it

    with pytest.raises(PromptTooLongError, match=r"\d+ characters long, 2048 tokens at the least"):
        chat_prompt(served, [{"role": "user", "content": "あ" * (2048 * longest + 1)}])


def test_request_beyond_those_that_may_wait_is_turned_away_before_its_prompt_is_read(served, monkeypatch):
    monkeypatch.setattr(server_module, "_MOST_WAITING", 2)
    api, free = Api(served), threading.Event()
    api._thread.submit(free.wait)

    async def asked():
        transport = httpx.ASGITransport(api.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
            asks = [
                asyncio.ensure_future(one.post("/v1/chat/completions", json=chat_body())) for _ in range(4)
            ]
            done, _ = await asyncio.wait(asks, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            free.set()
            return [reply.result().status_code for reply in done], [
                reply.status_code for reply in await asyncio.gather(*asks)
            ]

    first, every = asyncio.run(asked())
    assert set(first) == {429}
    assert sorted(every) == [200, 200, 429, 429]
    assert api._waiting == 0


def test_command_serves_until_it_is_told_to_stop(folders):
    command = [
        sys.executable,
        "-m",
        "kajiya",
        "serve",
        str(folders[0]),
        "--draft",
        str(folders[1]),
        "--port",
        "0",
    ]
    environment = {**os.environ, "KAJIYA_API_KEY": "secret", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/v1", line)[0]
        deadline = time.monotonic() + 60
        while True:  # it says where before it accepts
            try:
                refused = httpx.get(f"{address}/models")
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
        listed = httpx.get(f"{address}/models", headers={"authorization": "Bearer secret"})
        assert (refused.status_code, listed.json()["data"][0]["id"]) == (401, "model")
    finally:
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=60)
    assert "with a draft" in line
    assert (rest, errors) == ("", "")


def test_vllm_is_called_with_the_model_and_its_draft():
    words = vllm.command(Path("/m/large"), "large", Path("/m/small"), "127.0.0.1", 8000)

    assert words[:3] == ["vllm", "serve", "/m/large"]
    assert words[words.index("--served-model-name") + 1] == "large"
    assert words[words.index("--allowed-origins") + 1] == "[]"
    speculative = json.loads(words[words.index("--speculative-config") + 1])
    assert speculative == {"model": "/m/small", "num_speculative_tokens": 5}


@pytest.mark.parametrize(
    ("value", "words"), [("vllm", "is not installed"), ("sglang", "vllm or transformers")]
)
def test_server_that_cannot_be_had_is_an_error(monkeypatch, value, words):
    monkeypatch.setenv("KAJIYA_SERVER", value)
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(KajiyaError, match=words):
        vllm.use_vllm("127.0.0.1")


@pytest.mark.parametrize(
    ("value", "host", "taken"),
    [("", "127.0.0.1", True), ("vllm", "0.0.0.0", True), ("transformers", "0.0.0.0", False)],
)
def test_vllm_is_taken_where_it_is_installed_unless_told_otherwise(monkeypatch, value, host, taken):
    monkeypatch.setenv("KAJIYA_SERVER", value)
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: object())

    assert vllm.use_vllm(host) is taken


def test_vllm_is_opened_to_other_machines_only_when_that_was_said(monkeypatch):
    monkeypatch.delenv("KAJIYA_SERVER", raising=False)
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: object())

    with pytest.raises(KajiyaError, match="below /v1 alone"):
        vllm.use_vllm("0.0.0.0")
