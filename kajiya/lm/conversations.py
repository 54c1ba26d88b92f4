"""Conversations as token ids: the chat template, and what of it counts in the loss."""

import re
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from kajiya.errors import KajiyaError
from kajiya.lm.tokenizer import ROLE_TOKENS, load_tokenizer

# The reply and its end are between the marks of {% generation %}: only they count in the loss.
_REPLY = "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"

# A base that was trained with a token before every text (Llama's <s>) gets it before a conversation, too.
# Where one token is both, as in kajiya's own, a conversation needs none.
_BEGIN = "{% if bos_token and bos_token != eos_token %}{{ bos_token }}{% endif %}"

ROLE_TEMPLATE = (
    _BEGIN + "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}" + _REPLY + "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# For a base whose vocabulary has no role tokens: headings in plain text need no untrained pieces.
TEXT_TEMPLATE = (
    _BEGIN + "{% for message in messages %}{{ '### ' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}" + _REPLY + "{% else %}{{ message['content'] }}{% endif %}"
    "{{ '\n\n' }}{% endfor %}{% if add_generation_prompt %}{{ '### assistant\n' }}{% endif %}"
)


def load_chat_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder as transformers has it, which can apply chat templates."""
    load_tokenizer(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise KajiyaError(f"{folder}: transformers cannot load its tokenizer: {error}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise KajiyaError(
            f"{folder}: transformers loads its tokenizer as {type(tokenizer).__name__}, not fast."
        )
    return tokenizer


def choose_template(tokenizer: PreTrainedTokenizerFast) -> tuple[str, str]:
    """(name, template): the base's own where it marks the replies, else one that its pieces can say."""
    own = tokenizer.chat_template
    if isinstance(own, str) and "{% generation" in own.replace("{%-", "{%"):
        return "base", own
    if all(token in tokenizer.get_vocab() for token in ROLE_TOKENS.values()):
        return "roles", ROLE_TEMPLATE
    return "text", TEXT_TEMPLATE


def encode_conversation(
    tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]]
) -> tuple[list[int], list[int]]:
    """(token ids, labels) of one conversation; labels are -100 outside the assistant's replies."""
    encoded: Any = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    ids, mask = list(encoded["input_ids"]), list(encoded["assistant_masks"])
    return ids, [token if reply else -100 for token, reply in zip(ids, mask, strict=True)]


def control_token_in(tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]]) -> str | None:
    """What in a message would end the turn or change the speaker: a control token, or a heading of TEXT_TEMPLATE."""
    for turn in turns:
        for token in tokenizer.all_special_tokens:
            if token in turn["content"]:
                return str(token)
        if tokenizer.chat_template == TEXT_TEMPLATE and (found := _HEADING.search(turn["content"])):
            return found[0]
    return None


_HEADING = re.compile(r"^### (system|user|assistant)$", re.MULTILINE)
