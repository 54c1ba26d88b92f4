"""Where an answer ends: the tokens that say so, and the marks by which a model goes on for its user."""

from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from kajiya.lm.tokenizer import ROLE_TOKENS


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Tokens at which an answer ends: those of the generation config, the tokenizer's, the marks of speakers."""
    configured = model.generation_config.eos_token_id
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    known = tokenizer.get_vocab()
    marks = {known[token] for token in ROLE_TOKENS.values() if token in known}
    return {end for end in (*ends, *marks, tokenizer.eos_token_id) if isinstance(end, int)}


@lru_cache(maxsize=4)
def speaker_marks(tokenizer: PreTrainedTokenizerFast) -> tuple[set[int], list[str]]:
    """(tokens, strings) that the chat template puts between two turns: there a model goes on for its user."""
    question, answer, next_question = "questiontext", "answertext", "nexttext"
    turns = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": next_question},
    ]
    try:
        between = (
            _rendered(tokenizer, turns, generation=False).partition(answer)[2].partition(next_question)[0]
        )
        before = _rendered(tokenizer, turns[:1], generation=True).partition(question)[2]
    except (TemplateError, TypeError, ValueError):  # a template that wants other conversations
        return set(), []
    tokens: set[int] = set()
    strings: list[str] = []
    for part in (between, before):
        special = [token for token in tokenizer.all_special_tokens if token in part]
        tokens |= {int(tokenizer.convert_tokens_to_ids(token)) for token in special}
        text = part
        for token in special:
            text = text.replace(token, "")
        # Beside a token of its own ("<|im_start|>user") the words say nothing new, and stand in answers.
        if text.strip() and not set(special) - {tokenizer.eos_token}:
            strings.append(text.strip())
    return tokens, strings


def _rendered(tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]], generation: bool) -> str:
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation))
