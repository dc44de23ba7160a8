import math
from pathlib import Path

import pytest
import tensorflow as tf

from voc_tfdata.training.history import read_history, write_history, write_scalars

ROWS = [{"epoch": 1, "step": 3, "loss": 1 / 3}, {"epoch": 2, "step": 6, "loss": math.nan}]


def test_history_is_one_line_an_epoch_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.csv"
    write_history(path, ROWS)
    assert path.read_text().splitlines() == ["epoch,step,loss", "1,3,0.3333333333333333", "2,6,nan"]
    history = read_history(path)
    assert history["epoch"] == [1, 2] and history["loss"][0] == 1 / 3 and math.isnan(history["loss"][1])


def test_a_run_of_an_older_version_goes_on_with_more_columns(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [{"epoch": 1}, {"epoch": 2, "seconds": 3.5}])
    history = read_history(tmp_path / "history.csv")
    assert history["epoch"] == [1, 2] and math.isnan(history["seconds"][0]) and history["seconds"][1] == 3.5


def test_no_epoch_no_file(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [])
    assert not (tmp_path / "history.csv").exists()
    assert read_history(tmp_path / "history.csv") == {}


def test_scalars_are_written_over_steps(tmp_path: Path) -> None:
    writer = tf.summary.create_file_writer(str(tmp_path))
    for row in ROWS:
        write_scalars(writer, row)
    writer.close()
    (events_file,) = tmp_path.iterdir()
    found = [
        (event.step, value.tag, value.metadata.plugin_data.plugin_name, tf.make_ndarray(value.tensor).item())
        for event in tf.compat.v1.train.summary_iterator(str(events_file))
        for value in event.summary.value
    ]
    assert found[0] == (3, "loss", "scalars", pytest.approx(1 / 3)) and found[1][:2] == (6, "loss")
    assert len(found) == 2
