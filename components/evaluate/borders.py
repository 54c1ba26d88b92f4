"""Where a prompt ends and a choice begins, in tokens: of all choices together, or as the harness cuts it.

Japanese has no space at which a prompt could end: tokens merge across the border of prompt and choice,
differently for each choice. The harness cuts at the length of the prompt's own tokens, and then drops or
repeats characters; `shared` goes back to the last token that all choices of an item leave as it is.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kajiya.errors import KajiyaError

Pair = tuple[str, str]
"""(prompt, choice)"""


class Split(NamedTuple):
    given: list[int]
    """Tokens before those that are scored; empty where there are none."""
    scored: list[int]


def shared(tokenize: Callable[[str], list[int]], pairs: Sequence[Pair]) -> list[Split]:
    """Each pair, cut after the tokens that all choices of one prompt have in common with it."""
    prompts = {prompt: tokenize(prompt) for prompt in dict.fromkeys(prompt for prompt, _ in pairs)}
    wholes = [tokenize(prompt + choice) for prompt, choice in pairs]
    borders = {prompt: len(tokens) for prompt, tokens in prompts.items()}
    for (prompt, _), whole in zip(pairs, wholes, strict=True):
        borders[prompt] = min(borders[prompt], _common_length(prompts[prompt], whole))
    return [
        Split(whole[: borders[prompt]], whole[borders[prompt] :])
        for (prompt, _), whole in zip(pairs, wholes, strict=True)
    ]


def as_harness(
    tokenize: Callable[[str], list[int]],
    plain: Callable[[str], list[int]],
    prefix: int,
    pairs: Sequence[Pair],
) -> list[Split]:
    """Each pair, cut as lm-eval does. plain: adds no special token; prefix: stands for an empty prompt.

    tokenize is asked the same again and again: give it a memory.
    """
    splits = []
    for prompt, choice in pairs:
        if not prompt:
            scored = plain(choice)
            dropped = scored[:1] == [prefix]
            splits.append(Split([prefix], scored[1:] if dropped else scored))
            continue
        # White space that ends a prompt belongs to the choice: tokens begin with it. The model reads the
        # prompt's own tokens, though within prompt and choice its end may have others.
        given = tokenize(prompt.rstrip())
        splits.append(Split(given, tokenize(prompt + choice)[len(given) :]))
    return splits


def check(pair: Pair, split: Split, longest: int) -> None:
    """Raises KajiyaError for a choice of which nothing can be scored, or more than the model can read."""
    if not 0 < len(split.scored) <= longest:
        raise KajiyaError(
            f"evaluate: the choice {pair[1]!r} is {len(split.scored)} tokens long; it must be 1 to {longest}."
            " Mend or remove the item; a choice that merges whole into the prompt needs"
            " evaluate.borders: shared."
        )


def _common_length(left: list[int], right: list[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
