"""A list of bytes that goes to a temporary file when it grows large.

items = Spill()
items.append(b"...")
items[0]
"""

from __future__ import annotations

import contextlib
import tempfile
from array import array

_IN_MEMORY = 8 << 20  # 8 MiB: 20,000 images


class Spill:
    """Items of bytes; beyond the first 8 MiB 8 bytes of memory each. The file has no name and ends with us."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)
        self._ends = array("q", (0,))

    def append(self, item: bytes) -> None:
        """Adds an item.

        Raises:
          OSError: the temporary folder is full; it is named.
        """
        try:
            self._file.seek(self._ends[-1])
            self._file.write(item)
        except OSError as err:
            with contextlib.suppress(OSError):  # it tries once more to write what it holds
                self._file.close()
            raise OSError(err.errno, f"{err.strerror}; set TMPDIR to another folder", tempfile.gettempdir()) from err
        self._ends.append(self._ends[-1] + len(item))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, k: int) -> bytes:
        self._file.seek(self._ends[k])
        return self._file.read(self._ends[k + 1] - self._ends[k])
