"""What clients of OpenAI's API may ask, read strictly: what would not be done is refused, not ignored."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kajiya.serving.decoding import Sampling

_MOST_STOPS = 16

# Of clients' bookkeeping; an answer does not depend on them.
_WITHOUT_EFFECT = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}

# Not done here: taken only where they ask for nothing.
_NOT_DONE: dict[str, tuple[Any, ...]] = {
    "n": (1, None),
    "best_of": (1, None),
    "echo": (False, None),
    "suffix": ("", None),
    "logprobs": (False, None),
    "top_logprobs": (0, None),
    "logit_bias": ({}, None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "response_format": ({"type": "text"}, None),
    "modalities": (["text"], None),
    "tools": ([], None),
    "tool_choice": ("none", "auto", None),
    "parallel_tool_calls": (True, False, None),
    "functions": ([], None),
    "function_call": ("none", "auto", None),
    "reasoning_effort": (None,),
}


class ApiError(Exception):
    """An error as OpenAI's API tells it."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kinds = {401: "authentication_error", 429: "rate_limit_error"}
        kind = "server_error" if status >= 500 else kinds.get(status, "invalid_request_error")
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class StreamOptions(_Strict):
    include_usage: bool = False


class TextPart(_Strict):
    type: Literal["text"]
    text: str


class Message(_Strict):
    model_config = ConfigDict(extra="ignore")  # names and ids of a client's own
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def turn(self) -> dict[str, str]:
        parts = self.content
        text = parts if isinstance(parts, str) else "".join(part.text for part in parts)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class Request(_Strict):
    """What both kinds of request have in common."""

    model: str
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None

    def sampling(self) -> Sampling:
        """OpenAI's defaults: clients that mean greedy say `temperature: 0`."""
        given = {"temperature": self.temperature, "top_p": self.top_p}
        return Sampling(**{k: 1.0 if v is None else v for k, v in given.items()}, seed=self.seed)

    def stops(self) -> list[str]:
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stops) > _MOST_STOPS or "" in stops:
            raise ApiError(400, f"stop: 1 to {_MOST_STOPS} strings, none of them empty.", param="stop")
        return stops

    def length(self) -> int | None:
        return self.max_tokens

    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Request):
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None

    def length(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Request):
    prompt: str | list[str] | list[int] | list[list[int]] = ""

    def length(self) -> int:
        return self.max_tokens or 16

    def single(self) -> str | list[int]:
        """The prompt, as text or token ids."""
        prompt: Any = self.prompt
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
            if len(prompt) > 1:
                raise ApiError(400, "prompt: one at a time; send several requests.", param="prompt")
            prompt = prompt[0]
        return prompt or ""


Asked = TypeVar("Asked", bound=Request)


def parse(kind: type[Asked], body: bytes) -> Asked:
    """The request in `body`. Raises ApiError naming the parameter."""
    try:
        request = kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise ApiError(400, f"the body is not valid JSON: {first['msg']}.") from None
        param = ".".join(str(part) for part in first["loc"]) or None
        raise ApiError(400, f"{param or 'the body'}: {first['msg']}.", param=param) from None
    for name, value in (request.model_extra or {}).items():
        if name in _WITHOUT_EFFECT or value in _NOT_DONE.get(name, ()):
            continue
        known = name in _NOT_DONE
        what = f"{name}: {value!r} is not supported." if known else f"{name}: unknown parameter."
        raise ApiError(400, what, "unsupported_parameter" if known else "unknown_parameter", name)
    return request
