"""build_tfrecords as its users start it: flags, output, exit status, signals, any number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.devkit_fixture import (
    difficult,
    draw_noise,
    encode,
    files_in,
    labels_of,
    plain_jpeg,
    read_examples,
    sample,
    with_comment,
    write_devkit,
)
from tests.paths import ROOT
from voc_tfdata.records.manifest import read_manifest

TOOL = [sys.executable, str(ROOT / "tools" / "build_tfrecords.py")]


def run(*flags: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOOL, *flags], capture_output=True, text=True, timeout=120, cwd=cwd, env={**os.environ, **env}
    )


@pytest.fixture(scope="module")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A devkit of 150 small images: in two shards a split six chunks of work, so that four workers all have some."""
    picture = encode(draw_noise(), "JPEG")
    names = ("dog", "cat", "person", "Sofa")
    samples = {
        f"für {k:03d}.v2": sample(names[k % 4], difficult("cow"), picture=with_comment(picture, k)) for k in range(150)
    }
    return write_devkit(tmp_path_factory.mktemp("cli") / "VOC2012", samples)


def test_a_conversion_prints_a_table_and_exits_0(devkit: Path, tmp_path: Path) -> None:
    done = run(f"--voc_root={devkit}", f"--out_dir={tmp_path}/out", "--num_workers=2")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    # split, images, without objects, objects, labels, difficult only, shards, bytes: 150 x 0.7, 0.2, 0.1
    assert lines[1].split()[:7] == ["train", "105", "0", "210", "105", "105", "1"]
    assert lines[2].split()[:6] == ["val", "30", "0", "60", "30", "30"]
    assert lines[3].split()[:6] == ["test", "15", "0", "30", "15", "15"]
    assert any(line.split() == ["cow", "0", "(105)", "0", "(30)", "0", "(15)"] for line in lines)
    assert lines[-1].startswith(f"wrote {tmp_path}/out: 150 images in ") and "images/s" in lines[-1]
    assert f" warnings, in {tmp_path}/out/warnings.txt" in done.stderr
    lines = (tmp_path / "out" / "warnings.txt").read_text().splitlines()
    assert sum(line.startswith("class name spelt differently: Annotations/") for line in lines) == 37
    assert "class name spelt differently: 37" in done.stderr  # Sofa
    assert done.stderr.startswith("listing the files of ") and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "workers, env",
    [
        (2, {"PYTHONHASHSEED": "1", "LC_ALL": "C"}),
        (4, {"PYTHONHASHSEED": "2", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        (1, {"LC_ALL": "POSIX", "TZ": "Asia/Tokyo", "PYTHONIOENCODING": "ascii"}),
    ],
)
def test_workers_hash_seed_and_locale_change_no_byte(devkit: Path, tmp_path: Path, workers: int, env: dict) -> None:
    flags = (f"--voc_root={devkit}", "--num_shards=2", "--seed=5")
    for name, number, environment in (("a", 1, {"PYTHONHASHSEED": "0"}), ("b", workers, env)):
        done = run(*flags, f"--out_dir={tmp_path}/{name}", f"--num_workers={number}", **environment)
        assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    assert "für 003.v2" in read_examples(tmp_path / "b")


def test_bad_files_are_listed_with_status_1_and_no_traceback(tmp_path: Path) -> None:
    root = write_devkit(
        tmp_path / "VOC",
        {
            "good": sample("dog"),
            "cut": sample("dog", picture=plain_jpeg()[:400]),
            "odd": sample("unicorn"),
            "ghost": sample("cat", picture=None),
        },
    )
    for workers in ("1", "2"):
        done = run(f"--voc_root={root}", f"--out_dir={tmp_path}/out", f"--num_workers={workers}")
        assert (done.returncode, done.stdout) == (1, "")
        assert "error: 3 bad files, nothing was written:" in done.stderr and "Traceback" not in done.stderr
        assert all(f"{root}/{name}: " in done.stderr for name in ("JPEGImages/cut.jpg", "Annotations/odd.xml"))
        assert not (tmp_path / "out").exists()
    done = run(f"--voc_root={root}", f"--out_dir={tmp_path}/out", "--on_error=skip", "--split_ratios=train=1")
    assert done.returncode == 0
    assert "3 files left out:" in done.stderr and f"{root}/Annotations/ghost.xml: no image" in done.stderr
    assert labels_of(read_examples(tmp_path / "out")) == {"good": ["dog"]}
    assert len(read_manifest(tmp_path / "out").skipped) == 3


def test_flags_choose_splits_classes_and_size(tmp_path: Path) -> None:
    lists = {"train": ["a", "b"], "test": ["c"]}
    root = write_devkit(tmp_path / "VOC", {i: sample("nut", picture=encode(draw_noise(), "PNG")) for i in "abc"}, lists)
    (tmp_path / "classes.txt").write_text("\ufeffbolt\n\nnut\n", encoding="utf-8")
    done = run(
        f"--voc_root={root}",
        f"--out_dir={tmp_path}/out",
        "--splits=train, test",
        f"--classes={tmp_path}/classes.txt",
        "--store=resized",
        "--store_size=36",
        "--num_workers=1",
    )
    assert done.returncode == 0, done.stderr
    manifest = read_manifest(tmp_path / "out")
    assert (list(manifest.splits), manifest.classes) == (["train", "test"], ("bolt", "nut"))
    assert {e["image/width"][0] for e in read_examples(tmp_path / "out").values()} == {48}  # 96 x 72 to 48 x 36


@pytest.mark.parametrize(
    "flags, status, message",
    [
        ([], 1, "error: --voc_root is missing; for example: build_tfrecords --voc_root="),
        (["--voc_root=x"], 1, "error: --out_dir is missing"),
        (["--voc_root=nowhere", "--out_dir=out"], 1, "error: no nowhere; --voc_root wants a folder"),
        (["--voc_root=VOC", "--out_dir=out", "--num_shards=0"], 2, "num_shards"),
        (["--voc_root=VOC", "--out_dir=out", "--num_shards=-1"], 2, "num_shards"),
        (["--voc_root=VOC", "--out_dir=out", "--split_ratios=train=2"], 1, "error: --split_ratios=train=2"),
        (["--voc_root=VOC", "--out_dir=out", "--splits=train"], 1, "no VOC/ImageSets/Main/train.txt"),
        (
            ["--voc_root=VOC", "--out_dir=out", "--classes=none.txt"],
            1,
            "error: no class file none.txt; --classes wants",
        ),
        (["--voc_root=VOC", "--out_dir=VOC/Annotations/a.xml"], 1, "VOC/Annotations/a.xml"),
        (["--voc_root=VOC", "--out_dir=/dev/null/x"], 1, "error: /dev/null"),
        (["--voc_root=VOC", "--out_dir=/proc/x"], 1, "error: /proc/x"),
        (["--voc_root=VOC", "--out_dir=out", "--overwrit=yes"], 2, "overwrit"),
        (["--voc_root=VOC", "out"], 1, "error: unexpected argument 'out'"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_remedy(tmp_path: Path, flags, status: int, message: str) -> None:
    write_devkit(tmp_path / "VOC", {"a": sample("dog")})
    done = run(*flags, "--num_workers=1", cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_a_dry_run_writes_nothing_and_reports_the_same(devkit: Path, tmp_path: Path) -> None:
    dry = run(f"--voc_root={devkit}", "--dry_run", "--num_workers=2", cwd=tmp_path)
    assert os.listdir(tmp_path) == []
    real = run(f"--voc_root={devkit}", "--out_dir=out", "--num_workers=2", cwd=tmp_path)
    assert dry.returncode == real.returncode == 0
    assert dry.stdout.splitlines()[:-1] == real.stdout.splitlines()[:-1]
    assert dry.stdout.splitlines()[-1].startswith("dry run, nothing written: 150 images")
    told = real.stderr.replace(", in out/warnings.txt", "")
    assert dry.stderr.replace("checking 150", "converting 150") == told


def test_help_comes_at_once_and_names_every_flag() -> None:
    done = run("--help", PYTHONPROFILEIMPORTTIME="1")
    assert "absl.flags" in done.stderr and "PIL" not in done.stderr and "tensorflow" not in done.stderr
    names = "voc_root out_dir split_ratios splits seed num_shards num_workers classes on_error store store_size"
    assert all(f"--{name}" in done.stdout or f"--[no]{name}" in done.stdout for name in names.split())
    assert all(f"--[no]{name}" in done.stdout for name in ("overwrite", "dry_run"))
    assert done.returncode == 0


# Never half done: these start a conversion, wait for its workers to write, and disturb it.


def start(devkit: Path, out: Path) -> subprocess.Popen[str]:
    """Starts a conversion in a process group of its own and returns once it has written something."""
    command = [*TOOL, f"--voc_root={devkit}", f"--out_dir={out}", "--num_workers=2"]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(out.glob(".building*/*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    return process


def group_is_gone(group: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A devkit that takes a while: 2,000 links to one picture."""
    root = write_devkit(
        tmp_path_factory.mktemp("large"), {"0": sample("dog", picture=encode(draw_noise(400, 300), "JPEG"))}
    )
    xml = (root / "Annotations/0.xml").read_bytes()
    for k in range(1, 2000):
        (root / f"JPEGImages/{k}.jpg").symlink_to("0.jpg")
        (root / f"Annotations/{k}.xml").write_bytes(xml.replace(b"0.jpg", b"%d.jpg" % k))
    return root


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_data_set_no_litter_and_no_worker(large: Path, tmp_path: Path, number, status) -> None:
    process = start(large, tmp_path / "out")
    os.kill(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.splitlines()[-1].startswith("error: ") and "Traceback" not in err
    assert os.listdir(tmp_path) == []
    assert group_is_gone(process.pid)


def test_a_ctrl_c_to_the_whole_group_is_no_traceback(large: Path, tmp_path: Path) -> None:
    process = start(large, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert os.listdir(tmp_path) == []


def test_kill_9_leaves_no_data_set_and_no_worker_and_a_second_run_mends_it(
    devkit: Path, large: Path, tmp_path: Path
) -> None:
    process = start(large, tmp_path / "out")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -9
    assert group_is_gone(process.pid)
    with pytest.raises(FileNotFoundError, match="not a .complete. data set"):
        read_manifest(tmp_path / "out")
    for name in ("out", "fresh"):
        assert run(f"--voc_root={devkit}", f"--out_dir={tmp_path}/{name}", "--num_workers=2").returncode == 0
    assert files_in(tmp_path / "out") == files_in(tmp_path / "fresh")


def test_a_killed_worker_is_replaced_and_the_bytes_are_the_same(large: Path, tmp_path: Path) -> None:
    process = start(large, tmp_path / "out")
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(workers[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "a worker process ended (SIGKILL, perhaps out of memory)" in err and "Traceback" not in err
    assert group_is_gone(process.pid)
    assert run(f"--voc_root={large}", f"--out_dir={tmp_path}/fresh", "--num_workers=1").returncode == 0
    assert files_in(tmp_path / "out") == files_in(tmp_path / "fresh")


def test_a_second_builder_at_once_is_refused(devkit: Path, large: Path, tmp_path: Path) -> None:
    process = start(large, tmp_path / "out")
    process.send_signal(signal.SIGSTOP)  # it must not end before the second one has begun
    done = run(f"--voc_root={devkit}", f"--out_dir={tmp_path}/out", "--num_workers=1")
    process.send_signal(signal.SIGCONT)
    assert done.returncode == 1 and "error: another process is building records in" in done.stderr
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "2,000 images" in out
