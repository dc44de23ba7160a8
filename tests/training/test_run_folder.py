import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.paths import ROOT
from tests.tiny_model import build_tiny_model, values_of
from voc_tfdata.training.run_folder import (
    RunState,
    check_resumable,
    find_state,
    load_state,
    lock_folder,
    save_state,
)

IDENTITY = {"records": "abc", "image_size": 224, "batch_norm": False}


def variables_of(model: keras.Model, *, seed: int = 0) -> list[keras.Variable]:
    """Returns the variables of a model and its optimizer, each with a value of its own."""
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    random = np.random.default_rng(seed)
    for variable in variables:
        variable.assign(random.uniform(1, 1000, variable.shape))
    return variables


def saved_state(path: Path) -> RunState:
    state = RunState(7, [0.1 + 0.2, 3.0, 4.0, 5.0], float("nan"), 2, 1, [{"epoch": 1, "val_mAP": float("nan")}])
    save_state(path, state, variables_of(build_tiny_model(dropout=0.5)), IDENTITY)
    return state


def test_state_and_variables_come_back_to_the_bit(tmp_path: Path) -> None:
    saved = variables_of(build_tiny_model(dropout=0.5), seed=1)
    other = variables_of(build_tiny_model(dropout=0.5), seed=2)
    state = RunState(7, [0.1 + 0.2, 3.0, 4.0, 5.0], 0.25, 2, 1, [{"epoch": 1, "loss": 1 / 3}])
    save_state(tmp_path / "state.npz", RunState(step=6), other, IDENTITY)
    save_state(tmp_path / "state.npz", state, saved, IDENTITY)  # in place of the one before
    assert load_state(tmp_path / "state.npz", other, IDENTITY) == state
    assert any("seed" in variable.path for variable in saved)  # of the dropout
    for a, b in zip(values_of(saved), values_of(other), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


def test_another_run_is_refused_naming_every_difference(tmp_path: Path) -> None:
    saved_state(tmp_path / "state.npz")
    check_resumable(tmp_path / "state.npz", IDENTITY)
    other = {"records": "abc", "image_size": 96, "batch_norm": True}
    with pytest.raises(ValueError, match="image_size was 224, now 96; batch_norm was False, now True.*--resume=false"):
        check_resumable(tmp_path / "state.npz", other)
    variables = variables_of(build_tiny_model(dropout=0.5))
    before = values_of(variables)
    with pytest.raises(ValueError, match="another run"):
        load_state(tmp_path / "state.npz", variables, other)
    for a, b in zip(before, values_of(variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_name_that_only_one_run_has_is_a_difference(tmp_path: Path) -> None:
    saved_state(tmp_path / "state.npz")
    with pytest.raises(ValueError, match="devices was None, now 2"):
        check_resumable(tmp_path / "state.npz", IDENTITY | {"devices": 2})


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_cut_off_file_is_named_with_the_remedy(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "state.npz"
    saved_state(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="state.npz is damaged.*--resume=false"):
        check_resumable(path, IDENTITY)


def test_a_flipped_byte_in_the_weights_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    saved_state(path)
    data = bytearray(path.read_bytes())
    data[300] ^= 1  # inside the first array: 48 x 8 weights of 4 bytes
    path.write_bytes(data)
    with pytest.raises(ValueError, match="state.npz is damaged"):
        load_state(path, variables_of(build_tiny_model(dropout=0.5)), IDENTITY)


def test_a_file_of_text_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "state.npz").write_text("nothing of ours")
    with pytest.raises(ValueError, match="state.npz is damaged"):
        check_resumable(tmp_path / "state.npz", IDENTITY)


def test_nan_is_not_saved_and_the_state_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    saved_state(path)
    before = path.read_bytes()
    model = build_tiny_model(dropout=0.5)
    variables = variables_of(model)
    model.get_layer("logits").bias.assign([1.0, float("nan")])
    with pytest.raises(FloatingPointError, match="logits/bias holds NaN"):
        save_state(path, RunState(step=8), variables, IDENTITY)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["state.npz"]


def test_a_damaged_newest_state_falls_back_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, variables = tmp_path / "state.npz", variables_of(build_tiny_model())
    save_state(path, RunState(step=1), variables, IDENTITY)
    save_state(path, RunState(step=2), variables, IDENTITY)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.npz", "state_previous.npz"]
    assert find_state(path, IDENTITY) == path
    path.write_bytes(path.read_bytes()[:500])
    found = find_state(path, IDENTITY)
    assert found is not None and load_state(found, variables, IDENTITY).step == 1
    assert "state.npz is damaged" in caplog.text and "goes on from the state before it" in caplog.text
    path.unlink()  # killed between the two renames
    assert find_state(path, IDENTITY) == tmp_path / "state_previous.npz"
    (tmp_path / "state_previous.npz").write_bytes(b"x")
    with pytest.raises(ValueError, match="state_previous.npz is damaged"):
        find_state(path, IDENTITY)
    assert find_state(tmp_path / "nowhere" / "state.npz", IDENTITY) is None


def test_a_state_of_another_run_is_no_damage_to_fall_back_from(tmp_path: Path) -> None:
    path, variables = tmp_path / "state.npz", variables_of(build_tiny_model())
    save_state(path, RunState(step=1), variables, IDENTITY)
    save_state(path, RunState(step=2), variables, IDENTITY | {"image_size": 96})
    with pytest.raises(ValueError, match="image_size was 96, now 224"):
        find_state(path, IDENTITY)


def test_a_full_disk_is_one_line_with_the_need_and_the_state_before_stays(small_disk: Path) -> None:
    path = small_disk / "state.npz"
    variables = [keras.Variable(np.zeros([50_000], np.float32)) for _ in range(3)]  # 0.60 MB of 1 MiB
    save_state(path, RunState(step=1), variables, IDENTITY)
    with pytest.raises(OSError, match="the disk is full: a state takes 0.60 MB, and two are kept; make room"):
        save_state(path, RunState(step=2), variables, IDENTITY)
    assert load_state(path, variables, IDENTITY).step == 1
    assert [p.name for p in small_disk.iterdir()] == ["state.npz"]


def test_a_folder_in_use_names_the_other_process_and_its_host(tmp_path: Path) -> None:
    code = f"""
import os
from voc_tfdata.training.run_folder import lock_folder
with lock_folder({str(tmp_path)!r}):
    print(os.getpid(), flush=True)
    input()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    number = int(other.stdout.readline())
    wanted = f"is in use by process {number} on {socket.gethostname()}; wait for it"
    with pytest.raises(RuntimeError, match=re.escape(wanted)), lock_folder(tmp_path):
        pytest.fail("not locked out")
    other.kill()
    other.wait()
    with lock_folder(tmp_path):  # stale: its process is gone
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
