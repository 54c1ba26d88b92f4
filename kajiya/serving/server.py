"""An OpenAI-compatible server around one model: one answer at a time, the others wait in their order."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from kajiya.serving.answer import Answer, Wish
from kajiya.serving.models import Served
from kajiya.serving.openai_answers import Form, event
from kajiya.serving.openai_requests import ApiError, Asked, ChatRequest, CompletionRequest, Request, parse
from kajiya.serving.prompts import (
    PromptError,
    PromptTooLongError,
    chat_prompt,
    check_length,
    speaker_marks,
    text_prompt,
)

_MOST_BYTES = 8 << 20
_MOST_WAITING = 64


class Api:
    """The routes. The model is only ever touched on one thread, so an abandoned pass cannot meet the next."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.started = int(time.time())
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    def app(self) -> Starlette:
        routes = [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/models/{name:path}", self.model),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/v1/completions", self.complete, methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {ApiError: told, HTTPException: unrouted, Exception: failed}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def health(self, _request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok"})

    async def models(self, _request: HttpRequest) -> Response:
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model(self, request: HttpRequest) -> Response:
        self._require_model(request.path_params["name"])
        return JSONResponse(self._card())

    async def chat(self, request: HttpRequest) -> Response:
        asked = await self._asked(ChatRequest, request)
        if not self.served.has_template:
            raise ApiError(
                400,
                "this model has no chat template, so it knows no turns: use /v1/completions.",
                "no_template",
            )
        turns = [message.turn() for message in asked.messages]
        prompt = await self._prompt(lambda: chat_prompt(self.served, turns), "messages")
        tokens, strings = speaker_marks(self.served)
        return await self._answer(request, asked, prompt, (frozenset(tokens), strings))

    async def complete(self, request: HttpRequest) -> Response:
        asked = await self._asked(CompletionRequest, request)
        given = asked.single()
        if isinstance(given, list):
            if not all(0 <= token < self.served.vocabulary for token in given):
                raise ApiError(400, "prompt: a token id that this model does not have.", param="prompt")
            prompt = await self._prompt(lambda: check_length(self.served, given), "prompt")
        else:
            prompt = await self._prompt(lambda: text_prompt(self.served, given), "prompt")
        return await self._answer(request, asked, prompt, (frozenset(), []))

    async def _asked(self, kind: type[Asked], request: HttpRequest) -> Asked:
        # A web page may send other types to any address without asking first.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise ApiError(415, "send the body as JSON, with `Content-Type: application/json`.")
        body = bytearray()
        async for block in request.stream():
            body += block
            if len(body) > _MOST_BYTES:
                raise ApiError(413, f"the body is longer than {_MOST_BYTES} bytes.")
        asked = parse(kind, bytes(body))
        self._require_model(asked.model)
        return asked

    async def _prompt(self, make: Callable[[], list[int]], param: str) -> list[int]:
        if self._waiting >= _MOST_WAITING:
            raise ApiError(429, f"{_MOST_WAITING} requests wait already; try again later.", "overloaded")
        try:
            with self._counted():  # the thread may be at work for another
                return await asyncio.get_running_loop().run_in_executor(self._thread, make)
        except PromptTooLongError as error:
            raise ApiError(400, str(error), "context_length_exceeded", param) from None
        except PromptError as error:
            raise ApiError(400, str(error), "invalid_prompt", param) from None

    async def _answer(
        self, request: HttpRequest, asked: Request, prompt: list[int], marks: tuple[frozenset[int], list[str]]
    ) -> Response:
        tokens, strings = marks
        wish = Wish(prompt, asked.length(), asked.sampling(), [*asked.stops(), *strings], tokens)
        answer, form = Answer(self.served, wish), Form(self.served.name, isinstance(asked, ChatRequest))
        if asked.stream:
            events = self._events(answer, form, asked.wants_usage())
            return StreamingResponse(events, media_type="text/event-stream")
        text = ""
        async with self._pieces(answer) as pieces:
            async for piece in pieces:
                text += piece
                if await request.is_disconnected():
                    return Response(status_code=499)  # nobody reads it
        return JSONResponse(form.whole(answer, text))

    async def _events(self, answer: Answer, form: Form, with_usage: bool) -> AsyncIterator[str]:
        for line in form.opening():
            yield line
        try:
            async with self._pieces(answer) as pieces:
                async for piece in pieces:
                    if piece:
                        yield form.piece(piece)
        except Exception as error:  # noqa: BLE001 - the status is sent already: the client is told in the stream
            yield event(ApiError(500, f"the answer broke off: {type(error).__name__}: {error}").body)
            return
        for line in form.closing(answer, with_usage):
            yield line

    @asynccontextmanager
    async def _pieces(self, answer: Answer) -> AsyncIterator[AsyncIterator[str]]:
        """The pieces of an answer when its turn has come; a client that goes away ends it after the next pass."""
        text = answer.text()
        with self._counted():
            await self._turn.acquire()
        try:
            yield self._each(text)
        finally:
            self._turn.release()
            # On the thread: a pass that is under way must end first.
            self._thread.submit(text.close)  # type: ignore[attr-defined]

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Among those that wait."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _each(self, text: Any) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        while (piece := await loop.run_in_executor(self._thread, next, text, None)) is not None:
            yield piece

    def _require_model(self, name: str) -> None:
        if name != self.served.name:
            raise ApiError(
                404,
                f"the model {name!r} is not here: this server has {self.served.name!r}.",
                "model_not_found",
                "model",
            )

    def _card(self) -> dict[str, Any]:
        return {
            "id": self.served.name,
            "object": "model",
            "created": self.started,
            "owned_by": "kajiya",
            "max_model_len": self.served.context,
        }


async def told(_request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status)


async def unrouted(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}."
    return JSONResponse(ApiError(error.status_code, message).body, error.status_code, error.headers)


async def failed(_request: HttpRequest, error: Exception) -> Response:
    return JSONResponse(ApiError(500, f"{type(error).__name__}: {error}").body, 500)
