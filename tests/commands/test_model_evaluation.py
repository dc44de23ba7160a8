"""What a report says of a checkpoint comes from the run that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny_model import build_tiny_trained
from voc_tfdata.commands.model_evaluation import describe_checkpoint

HISTORY = {"val_loss": [0.5, 0.4, 0.3], "val_mAP": [0.2, 0.6, 0.6]}


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        ("--epochs=3\n--monitor=val_mAP\n", "2 of 3 by val_mAP"),
        ("--monitor=val_loss\n", "3 of 3 by val_loss"),
        (None, "3 of 3 by val_loss"),
    ],
)
def test_the_best_epoch_is_the_one_that_was_kept(tmp_path: Path, flags: str | None, best: str) -> None:
    if flags is not None:
        (tmp_path / "flags.txt").write_text(flags)
    facts = describe_checkpoint(tmp_path / "best.keras", build_tiny_trained(), HISTORY)
    assert facts["best epoch"] == best
    assert "trained for" not in facts  # by a version that did not note it
    assert facts["images"] == "40 x 40 pixels, resize=bilinear"


def test_how_long_the_training_took_is_the_sum_of_its_epochs(tmp_path: Path) -> None:
    seconds = {"seconds": [3600.4, 62.0, 3.0]}
    facts = describe_checkpoint(tmp_path / "best.keras", build_tiny_trained(), HISTORY | seconds)
    assert facts["trained for"] == "1:01:06 (h:min:s), validation included"
