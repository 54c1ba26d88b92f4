"""The finished shards of a stage, so that a run after a crash or a failed shard does the others alone.

A stage that maps one function over shards takes a keyword `ledger` and hands it to `map_shards`:
kajiya.stage then keeps what is written so far, and this file what the function returned. Results go
through JSON, by the type that the function is annotated to return: NamedTuples, pydantic models,
Counters, and arrays as JsonArray.
"""

import base64
import functools
import io
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import xxhash
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from kajiya.shards import write_file


def _encode_array(array: np.ndarray) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode()


def _decode_array(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    array: np.ndarray = np.load(io.BytesIO(base64.b64decode(value)), allow_pickle=False)
    return array


JsonArray = Annotated[np.ndarray, PlainValidator(_decode_array), PlainSerializer(_encode_array)]
"""A NumPy array in a result that a ledger keeps, to the bit; floats elsewhere must be finite."""


class Ledger:
    """One small file per finished shard, written after the shard itself is safe."""

    def __init__(self, folder: Path, identity: str = "") -> None:
        """identity: of what the stage was begun with; the ledger holds for nothing else."""
        self._folder = folder
        self.identity = identity

    def pages(self, function: Callable[[Any], Any], description: str) -> "Pages":
        return Pages(self._folder / description, TypeAdapter(_result_type(function)))


class Pages:
    """The entries of one `map_shards`, by the number of the task."""

    def __init__(self, folder: Path, results: TypeAdapter[Any]) -> None:
        self._folder, self._results = folder, results
        self._finished = {path.name for path in folder.glob("*.json")} if folder.exists() else set()

    def __contains__(self, number: int) -> bool:
        return self._name(number) in self._finished

    def recall(self, number: int) -> Any:
        return self._results.validate_json((self._folder / self._name(number)).read_bytes())

    def record(self, number: int, result: Any) -> None:
        write_file(self._folder / self._name(number), self._results.dump_json(result))

    @staticmethod
    def _name(number: int) -> str:
        return f"{number:05d}.json"


def _result_type(function: Callable[[Any], Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return typing.get_type_hints(function, include_extras=True)["return"]


@functools.lru_cache
def code_digest(module: str) -> str:
    """Of the code a stage runs by: the package of `module`, and kajiya's own modules."""
    digest = xxhash.xxh3_128()
    for name in (module, __name__):
        file = Path(sys.modules[name].__file__ or "")
        package = file.parent if file.name == "__init__.py" or "." in name else None
        for path in sorted(package.rglob("*.py")) if package else [file]:
            digest.update(str(path.relative_to(file.parent)).encode() + path.read_bytes())
    return digest.hexdigest()
