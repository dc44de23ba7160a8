"""Every parser of bytes that nobody has to trust, fed with mutated ones: a fixed number, from a fixed seed.

By hand, for longer and from other seeds:

    FUZZ_EXAMPLES=20000 python -m pytest tests/fuzz
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

BY_HAND = int(os.environ.get("FUZZ_EXAMPLES", 0))
NUM_EXAMPLES = BY_HAND or 150
EDITS = ("flip", "set", "insert", "delete", "double", "cut", "number")
NUMBERS = (b"0", b"-1", b"1e999", b"99999999999999999999", b"null", b"[]", b"\xff\xff\xff\xff", b"\0", b"../..", b"NaN")


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draws one of the sound inputs, changed in up to four places."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(EDITS))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=6))
        elif kind == "delete":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "double":
            data[at:at] = data[at : at + draw(st.integers(1, 200))]
        elif kind == "cut":
            del data[at:]
        else:
            data[at : at + draw(st.integers(0, 4))] = draw(st.sampled_from(NUMBERS))
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_a_parser_lets_only_its_documented_errors_pass(target: Callable[[bytes], None]) -> None:
    for seed in TARGETS[target]:
        target(seed)

    @settings(
        max_examples=NUM_EXAMPLES,
        derandomize=not BY_HAND,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(TARGETS[target]))
    def run(data: bytes) -> None:
        target(data)

    run()
