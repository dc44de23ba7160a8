"""TensorFlow without the lines that its native libraries print at every start.

with quiet_start():
    import tensorflow as tf
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

# Without this, TensorFlow opens each process with a dozen lines about plug-ins its user can do nothing about.
# Its errors still come as exceptions. Set the variable yourself (0 to 2) to see the lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Holds back what native libraries print to stderr while they are imported; shows it if the import fails.

    TensorFlow 2.18 and newer log before they have read the variable above.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            stderr.write(held.read())
            raise
        finally:
            os.dup2(stderr.fileno(), 2)
