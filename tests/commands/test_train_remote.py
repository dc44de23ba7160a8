"""train.py on records in a bucket of a real S3 server on the loopback interface, as a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import ANY_BACK_END, CLIENT_ENVIRONMENT, S3
from tests.paths import ROOT
from voc_tfdata.records.verify import verify_records


def train(s3: S3, tmp_path: Path, records: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "train.py", f"--records={records}", f"--cache_dir={tmp_path / 'cache'}"]
    command += [f"--out_dir={tmp_path / 'run'}", "--test_split=val", "--image_size=32", "--batch_size=8"]
    command += ["--max_steps=1", "--precision=float32", "--notensorboard"]
    environment = os.environ | CLIENT_ENVIRONMENT | {"S3_ENDPOINT": s3.way.url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@ANY_BACK_END
def test_training_mirrors_the_records_and_exits_with_its_own_status(
    s3: S3, noisy_records: Path, tmp_path: Path
) -> None:
    uri = s3.put_folder(noisy_records, "bucket/trained")
    done = train(s3, tmp_path, uri)
    assert done.returncode == 0, done.stderr  # 134 without our care
    (mirror,) = (tmp_path / "cache").iterdir()
    assert verify_records(mirror) == []
    assert f"mirrors {uri}, 8 shards" in done.stderr and "pure virtual" not in done.stderr
    assert (tmp_path / "run" / "metrics.json").exists()
    assert f"--records={uri}\n" in (tmp_path / "run" / "flags.txt").read_text()


@pytest.mark.slow
@ANY_BACK_END
def test_training_on_a_bucket_that_is_not_there_is_one_line_and_status_1(s3: S3, tmp_path: Path) -> None:
    done = train(s3, tmp_path, "s3://no-bucket/voc")
    assert done.returncode == 1
    what = f"there is no bucket 'no-bucket' at {s3.way.url}; make it, or fix the name"
    assert done.stderr == f"error: s3://no-bucket/voc/manifest.json: {what}\n"
    assert not (tmp_path / "run").exists()
