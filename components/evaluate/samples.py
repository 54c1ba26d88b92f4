"""A few texts as the model writes them, for a person to read: samples.jsonl, the same for the same model and seed."""

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from kajiya.errors import KajiyaError
from kajiya.settings import Settings

if TYPE_CHECKING:
    from components.evaluate.models import SharedPrefixModel


class SampleSettings(Settings):
    """What to let the model write beside its scores; all lists empty: nothing."""

    beginnings: tuple[str, ...] = (
        "日本でいちばん高い山は",
        "図書館で本を借りるには、",
        "むかし、海のそばの小さな村に",
        "雨が降ると川の水が増えるのは、",
    )
    """Texts to go on with, for a model without a chat template."""
    questions: tuple[str, ...] = (
        "日本の首都はどこですか。",
        "「おはようございます」を英語にしてください。",
        "雨の日に家でできることを三つ挙げてください。",
        "虹はなぜ見えるのですか。子どもにも分かるように説明してください。",
    )
    """Questions, for a model with a chat template: one that was tuned to answer."""
    new_tokens: PositiveInt = 64
    """Most tokens to write after each prompt."""
    temperature: NonNegativeFloat = Field(default=0.0, allow_inf_nan=False)
    """0: always the likeliest token. Above: drawn, by evaluate.seed."""


def write_samples(model: "SharedPrefixModel", settings: SampleSettings, seed: int) -> str:
    """One line of JSON per prompt: prompt, text, and by what it was made."""
    chat = bool(model.tokenizer.chat_template)
    prompts = settings.questions if chat else settings.beginnings
    lines = []
    for number, prompt in enumerate(prompts):
        ids = _prompt_ids(model.tokenizer, prompt, chat)
        # One prompt at a time and a seed for each: a prompt more or less leaves the others' texts as they are.
        written = _continued(model, ids, settings, seed + number)
        ended = bool(written) and written[-1] in _ends(model)
        text = model.tokenizer.decode(written, skip_special_tokens=True)
        if chat and (stop := _where_the_user_speaks(model.tokenizer, text)) is not None:
            written, text, ended = _first_tokens(model.tokenizer, written, text[:stop]), text[:stop], True
        record = {
            "prompt": prompt,
            "text": text,
            "chat": chat,
            "tokens": len(written),
            "ended": ended,
            "temperature": settings.temperature,
            "seed": seed + number,
        }
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return "".join(lines)


def _prompt_ids(tokenizer: Any, prompt: str, chat: bool) -> list[int]:
    if chat:
        turns = [{"role": "user", "content": prompt}]
        return list(
            tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        )
    ids = list(tokenizer(prompt)["input_ids"])
    # Some tokenizers end every text; what is to be continued has no end.
    return ids[:-1] if ids[-1:] == [tokenizer.eos_token_id] else ids


def _continued(model: "SharedPrefixModel", ids: list[int], settings: SampleSettings, seed: int) -> list[int]:
    import torch  # noqa: PLC0415 (seconds; settings and --help do without)
    from transformers import GenerationConfig  # noqa: PLC0415 (as above)

    room = model.max_length - len(ids)
    if not ids or room < 1:
        raise KajiyaError(
            f"evaluate.samples: a prompt of {len(ids)} tokens, where 1 to {model.max_length - 1} fit the model. Mend it."
        )
    drawn: dict[str, Any] = {"do_sample": False}
    if settings.temperature > 0:
        drawn = {"do_sample": True, "temperature": settings.temperature, "top_k": 0, "top_p": 1.0}
    ends = _ends(model)
    config = GenerationConfig(
        max_new_tokens=min(settings.new_tokens, room),
        eos_token_id=ends,
        pad_token_id=ends[0] if ends else None,
        **drawn,
    )
    given = torch.tensor([ids], device=model.device)
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(seed)
        output = model.model.generate(given, attention_mask=torch.ones_like(given), generation_config=config)
    return [int(token) for token in output[0, len(ids) :]]


def _ends(model: "SharedPrefixModel") -> list[int]:
    """Tokens at which a text is over; of a model that knows turns also those at which it goes on as its user."""
    from kajiya.lm.endings import end_tokens, speaker_marks  # noqa: PLC0415 (transformers, as above)

    marks = speaker_marks(model.tokenizer)[0] if model.tokenizer.chat_template else set()
    return sorted(end_tokens(model.model, model.tokenizer) | marks)


def _where_the_user_speaks(tokenizer: Any, text: str) -> int | None:
    """Where a model goes on as its user in words: its template has no token that says so."""
    from kajiya.lm.endings import speaker_marks  # noqa: PLC0415 (transformers, as above)

    return min((at for mark in speaker_marks(tokenizer)[1] if (at := text.find(mark)) >= 0), default=None)


def _first_tokens(tokenizer: Any, tokens: list[int], text: str) -> list[int]:
    """As many as it takes to write `text`, with which all of them begin."""
    count = 0
    while not tokenizer.decode(tokens[:count], skip_special_tokens=True).startswith(text):
        count += 1
    return tokens[:count]
