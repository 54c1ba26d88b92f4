"""Use a model: `kajiya chat` in a terminal, `kajiya serve` for programs, both with speculative decoding."""
