"""Unpack gzip strictly: the standard reader takes a blanked-out rest of a file for padding, and ends in peace."""

import io
import zlib
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 16


def open_gzip(path: Path) -> BinaryIO:
    """The content of a .gz file of any number of members.

    Reading raises zlib.error where the file is cut off or damaged: not EOFError, which many a reader
    takes for the end.
    """
    return io.BufferedReader(_Members(path), _BLOCK)


class _Members(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed with this
        self._member = zlib.decompressobj(wbits=31)
        self._begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            data = self._member.unconsumed_tail or self._member.unused_data or self._file.read(_BLOCK)
            if self._member.eof:
                if not data:
                    return 0
                self._member = zlib.decompressobj(wbits=31)
            elif not data:
                if not self._begun:
                    return 0
                raise zlib.error("it ends within a compressed part")
            self._begun = True
            if found := self._member.decompress(data, len(buffer)):
                buffer[: len(found)] = found
                return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()
