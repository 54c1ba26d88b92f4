"""kajiya: from raw Japanese sources to a registered, quantized language model."""

__version__ = "0.1.0"
