"""How fast build_tfrecords is, beside what bounds it and beside other converters, in alternating rounds.

    python -m benchmarks.convert --voc_root=VOCdevkit/VOC2012 [--work_dir=/tmp] [--ffcv_python=.../bin/python]

Every contestant is a process of its own over the same devkit (the pictures repeated by links, so that starting up
does not count), on the same two cores, with a warm cache. Printed are the median images/s of the rounds, whole process,
and the processor time per image of all its processes, which hardly depends on what else the machine does.
  converter         build_tfrecords --store=original: every XML parsed, every picture checked, hashed, framed, written
  decode only       two bare processes that decode the same files with the same decoder to RGB, and nothing else
  cp -r             of JPEGImages
  object detection  one process in the manner of the object-detection API's script, which decodes nothing
  FFCV              DatasetWriter, jpg mode, quality 95, two workers; it decodes and encodes every picture anew
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

DECODE_ONLY = """
import os, sys
import simplejpeg
folder, workers = sys.argv[1], int(sys.argv[2])
names = sorted(os.listdir(folder))
children = []
for k in range(workers):
    child = os.fork()
    if not child:
        for name in names[k::workers]:
            with open(f"{folder}/{name}", "rb") as file:
                simplejpeg.decode_jpeg(file.read(), "RGB")
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""

OBJECT_DETECTION = """
import hashlib, io, os, sys
import tensorflow as tf
from lxml import etree
from PIL import Image
root, out = sys.argv[1], sys.argv[2]
def ints(values): return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
def floats(values): return tf.train.Feature(float_list=tf.train.FloatList(value=values))
def texts(values): return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
with tf.io.TFRecordWriter(out) as writer:
    for name in sorted(os.listdir(f"{root}/Annotations")):
        with open(f"{root}/Annotations/{name}", "rb") as file:
            tree = etree.fromstring(file.read())
        with open(f"{root}/JPEGImages/{name[:-4]}.jpg", "rb") as file:
            data = file.read()
        assert Image.open(io.BytesIO(data)).format == "JPEG"
        width, height = (int(tree.find("size").find(side).text) for side in ("width", "height"))
        boxes = [[float(o.find("bndbox").find(side).text) for o in tree.iter("object")]
                 for side in ("xmin", "ymin", "xmax", "ymax")]
        feature = {
            "image/height": ints([height]), "image/width": ints([width]), "image/encoded": texts([data]),
            "image/filename": texts([name.encode()]), "image/source_id": texts([name.encode()]),
            "image/key/sha256": texts([hashlib.sha256(data).hexdigest().encode()]), "image/format": texts([b"jpeg"]),
            "image/object/bbox/xmin": floats([x / width for x in boxes[0]]),
            "image/object/bbox/ymin": floats([y / height for y in boxes[1]]),
            "image/object/bbox/xmax": floats([x / width for x in boxes[2]]),
            "image/object/bbox/ymax": floats([y / height for y in boxes[3]]),
            "image/object/class/text": texts([o.find("name").text.encode() for o in tree.iter("object")]),
            "image/object/difficult": ints([int(o.find("difficult").text) for o in tree.iter("object")]),
        }
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
"""

FFCV = """
import os, sys
import cv2
from ffcv.fields import IntField, RGBImageField
from ffcv.writer import DatasetWriter
folder, out, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
class Pictures:
    names = sorted(os.listdir(folder))
    def __len__(self): return len(self.names)
    def __getitem__(self, i): return cv2.cvtColor(cv2.imread(f"{folder}/{self.names[i]}"), cv2.COLOR_BGR2RGB), 0
fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=95), "label": IntField()}
DatasetWriter(out, fields, num_workers=workers).from_indexed_dataset(Pictures())
"""


def link_devkit(voc_root: Path, root: Path, repeat: int) -> int:
    """Writes a devkit whose pictures are links to those of voc_root, each `repeat` times; returns how many."""
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    xmls = sorted((voc_root / "Annotations").glob("*.xml"))
    for xml in xmls:
        text = xml.read_text(encoding="utf-8")
        for k in range(repeat):
            name = f"{k}_{xml.stem}"
            (root / f"Annotations/{name}.xml").write_text(
                text.replace(f"{xml.stem}.jpg", f"{name}.jpg"), encoding="utf-8"
            )
            (root / f"JPEGImages/{name}.jpg").symlink_to((voc_root / f"JPEGImages/{xml.stem}.jpg").absolute())
    return len(xmls) * repeat


def run_one(command: list[str]) -> tuple[float, float]:
    """Runs a command; returns its seconds and the processor seconds of all its processes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}\n{done.stderr[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voc_root", type=Path, required=True, help="folder with Annotations/ and JPEGImages/")
    parser.add_argument(
        "--work_dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where links and outputs go; on a disk what counts is writing to the page cache",
    )
    parser.add_argument("--repeat", type=int, default=4, help="how often each picture is linked")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of those that have several, and cores for all"
    )
    parser.add_argument("--ffcv_python", help="interpreter of an environment with FFCV")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.workers])
    work = args.work_dir / f"benchmark-convert-{os.getpid()}"
    root, out, workers = work / "VOC", work / "out", str(args.workers)
    tool = str(ROOT / "tools" / "build_tfrecords.py")
    contestants = {
        "converter": [sys.executable, tool, f"--voc_root={root}", f"--out_dir={out}", f"--num_workers={workers}"],
        "decode only": [sys.executable, "-c", DECODE_ONLY, str(root / "JPEGImages"), workers],
        "cp -r": ["cp", "-rL", str(root / "JPEGImages"), str(out)],
        "object detection": [sys.executable, "-c", OBJECT_DETECTION, str(root), str(out)],
    }
    if args.ffcv_python:
        contestants["FFCV"] = [args.ffcv_python, "-c", FFCV, str(root / "JPEGImages"), str(out), workers]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    try:
        count = link_devkit(args.voc_root, root, args.repeat)
        run_one(contestants["cp -r"])  # warms the cache
        for _ in range(args.rounds):
            for name, command in contestants.items():
                if out.is_dir():
                    shutil.rmtree(out)
                out.unlink(missing_ok=True)
                times[name].append(run_one(command))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{count} pictures, {args.rounds} rounds, {workers} workers on as many cores, output on {args.work_dir}")
    print(f"{'':18}{'images/s':>10}{'slowest':>10}{'fastest':>10}{'cpu ms/image':>14}")
    for name, rounds in times.items():
        rates = sorted(count / seconds for seconds, _ in rounds)
        cpu = min(cpu for _, cpu in rounds) / count * 1000
        print(f"{name:18}{statistics.median(rates):>10,.0f}{rates[0]:>10,.0f}{rates[-1]:>10,.0f}{cpu:>14.2f}")
    ratios = [bare / ours for (ours, _), (bare, _) in zip(times["converter"], times["decode only"], strict=True)]
    print(f"converter / decode only, median of the rounds: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
