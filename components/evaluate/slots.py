"""The memory of keys and values for texts that grow side by side, each in a slot of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from components.evaluate.prefix_tree import Path, Tokens, batches, lay_out, tree_rows

_MOST = 64
"""Beyond this number a product with the weights gains little by more rows."""
_HOST_BYTES = 4 << 30
"""Most of the host's memory, which does not say that it runs out as an accelerator's does."""


def slot_count(model: Any, texts: int, width: int) -> int:
    """How many texts of `width` tokens to let grow at once."""
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    each = 2 * config.num_hidden_layers * config.num_key_value_heads * size * width * model.dtype.itemsize
    held = _MOST if model.device.type != "cpu" else max(1, min(_MOST, _HOST_BYTES // each))
    return min(held, texts)


class Slots:
    def __init__(self, model: Any, count: int, width: int) -> None:
        self._model, self.count, self._width = model, count, width
        self._keys: list[torch.Tensor] = []
        """[slots, heads, width, size] for each layer."""
        self._values: list[torch.Tensor] = []

    @torch.inference_mode()
    def read_prompts(
        self, prompts: Sequence[Tokens], start: int, batch_tokens: int
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Fill the slots from `start` on; gives, in groups, slots and what the model makes of their last tokens."""
        for rows in batches(tree_rows(prompts), batch_tokens):
            batch, cache = lay_out(rows, self._model), _Passing()
            hidden = self._model.model(
                input_ids=batch.tokens, position_ids=batch.positions, attention_mask=batch.mask,
                past_key_values=cache, use_cache=True,
            ).last_hidden_state  # fmt: skip
            paths = [(number, path) for number, row in enumerate(rows) for path in row.paths]
            for number, path in paths:
                self._keep(cache, number, path, start + path.index)
            places, columns = zip(*((number, path.columns[-1]) for number, path in paths), strict=True)
            yield [start + path.index for _, path in paths], hidden[list(places), list(columns)]

    def _keep(self, cache: "_Passing", number: int, path: Path, slot: int) -> None:
        if not self._keys:
            for made, kept in ((cache.keys, self._keys), (cache.values, self._values)):
                for layer in made:
                    shape = (self.count, layer.shape[1], self._width, layer.shape[3])
                    # Zeros: what a mask hides is multiplied by nothing, and nothing times garbage may be NaN.
                    kept.append(layer.new_zeros(shape))
        length = len(path.columns)
        # The first path of a row stands in its first columns, and needs no copy before the one into its slot.
        alone = int(path.columns[-1]) == length - 1
        columns = None if alone else torch.from_numpy(path.columns).to(self._model.device)
        for made, kept in ((cache.keys, self._keys), (cache.values, self._values)):
            for layer, slots in zip(made, kept, strict=True):
                row = layer[number]
                slots[slot, :, :length] = row[:, :length] if columns is None else row.index_select(1, columns)

    @torch.inference_mode()
    def read_tokens(self, tokens: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
        """Append one token to each of the first slots, which hold so many; what the model makes of them."""
        device = self._model.device
        places = torch.tensor(lengths, device=device)
        seen = torch.arange(max(lengths) + 1, device=device) <= places[:, None]
        mask = torch.zeros(seen.shape, dtype=self._model.dtype, device=device)
        return self._model.model(
            input_ids=torch.tensor(tokens, device=device)[:, None],
            position_ids=places[:, None],
            attention_mask=mask.masked_fill_(~seen, float("-inf"))[:, None, None],
            past_key_values=_Growing(self._keys, self._values, places, int(seen.shape[1])),
            use_cache=True,
        ).last_hidden_state[:, -1]

    @torch.inference_mode()  # or it must not write into what was made there
    def move(self, source: int, target: int, length: int) -> None:
        for part in (*self._keys, *self._values):
            part[target, :, :length] = part[source, :, :length]


class _Passing(DynamicCache):
    """Holds the keys and values of one pass as they are made: transformers' own would copy them all."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def update(
        self, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys.append(key)
        self.values.append(value)
        return key, value


class _Growing:
    """A cache in the shape that transformers asks: it takes one token for each slot, and shows the slots."""

    def __init__(
        self, keys: list[torch.Tensor], values: list[torch.Tensor], places: torch.Tensor, width: int
    ) -> None:
        self._keys, self._values, self._places, self._width = keys, values, places, width
        self._slots = torch.arange(len(places), device=places.device)

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shown = []
        for part, new in ((self._keys[layer], key), (self._values[layer], value)):
            part[self._slots, :, self._places] = new[:, :, 0]
            shown.append(part[: len(new), :, : self._width])
        return shown[0], shown[1]
