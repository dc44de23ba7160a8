"""After a worker died at a task: what ends a worker again is a bad file, the rest is converted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.convert.test_tasks import encode_task, scan, write
from tests.devkit_fixture import annotation_xml, plain_jpeg
from voc_tfdata.convert.recovery import recover_encode, recover_scan
from voc_tfdata.convert.tasks import EncodeTask, ScanTask, pack_item
from voc_tfdata.convert.worker_pool import Death, WorkerDied
from voc_tfdata.devkit.source_files import SourceFile
from voc_tfdata.records.examples import decode_example
from voc_tfdata.records.tfrecord import iterate_records


def test_after_a_death_the_image_that_ends_a_worker_again_is_a_bad_file_and_the_others_are_records(
    tmp_path: Path,
) -> None:
    items = [
        pack_item(scan(tmp_path, annotation_xml("dog"), f"i{k}").annotation, write(tmp_path, f"i{k}.jpg", plain_jpeg()))
        for k in range(3)
    ]

    def run_alone(function: Any, task: EncodeTask) -> Any:
        return Death(-signal.SIGSEGV) if items[1] in task.items else function(task)

    encoded = recover_encode(encode_task(items, tmp_path / "part"), run_alone)
    assert encoded.kept == [0, 2] and len(encoded.frame_sizes) == 2
    assert [str(err) for err in encoded.errors] == [
        f"{tmp_path / 'i1.jpg'}: ends the process that reads it (SIGSEGV): damaged, or too large to decode; replace it"
    ]
    assert [decode_example(r)["image/source_id"] for r in iterate_records(tmp_path / "part")] == [[b"i0"], [b"i2"]]


def test_a_death_that_no_file_causes_again_blames_none(tmp_path: Path) -> None:
    item = pack_item(scan(tmp_path, annotation_xml("dog")).annotation, write(tmp_path, "a.jpg", plain_jpeg()))
    encoded = recover_encode(encode_task([item, item], tmp_path / "part"), lambda function, task: function(task))
    assert encoded.kept == [0, 1] and encoded.errors == []
    calls = iter([None, None, Death(-signal.SIGKILL)])
    with pytest.raises(WorkerDied, match="end again and again .SIGKILL, perhaps out of memory"):
        recover_encode(encode_task([item, item], tmp_path / "part"), lambda function, task: next(calls))


def test_an_annotation_that_ends_a_worker_is_a_bad_file() -> None:
    files = tuple((name, (), SourceFile(f"/x/{name}.xml", f"/x/{name}.xml", 0, 0)) for name in ("a", "b"))

    def run_alone(function: Any, task: ScanTask) -> Any:
        return Death(-signal.SIGSEGV) if task.files[0][0] == "b" else ["parsed"]

    first, second = recover_scan(ScanTask(files, ("dog",)), run_alone)
    assert first == "parsed" and "b.xml: ends the process that reads it (SIGSEGV)" in str(second)
