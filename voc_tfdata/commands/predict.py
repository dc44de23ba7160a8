"""Tells what a trained model sees in images of any format.

    voc_tfdata predict --checkpoint=runs/voc2012/best.keras --out_dir=predicted a.jpg b.png holiday/

Prints a line an image; leaves predictions.csv, predictions.json and pictures.png in --out_dir. Folders are searched
for images, their sub-folders too. --threshold=best takes the threshold of each class from metrics.json beside the
checkpoint.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags, logging
from tqdm import tqdm

from voc_tfdata.commands.command_line import run_command
from voc_tfdata.devkit.image_formats import quiet_pillow
from voc_tfdata.devkit.images import load_upright_jpeg
from voc_tfdata.devkit.layout import PICTURE_SUFFIXES, UNREAD_SUFFIXES
from voc_tfdata.devkit.source_files import BadFileError, as_bad_file
from voc_tfdata.quiet import quiet_start

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "best.keras of a training run.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", "predicted", "Folder for predictions.csv, predictions.json and pictures.png.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Pictures at a time.", lower_bound=1)
_THRESHOLD = flags.DEFINE_string("threshold", "0.5", "A class is predicted above it; best: of each class, see below.")
_TOP_K = flags.DEFINE_integer("top_k", 0, "Name this many classes, the likeliest, whatever they reach.", lower_bound=0)
_ON_ERROR = flags.DEFINE_enum("on_error", "fail", ["fail", "skip"], "skip: go on without images that are damaged.")


def main(argv: list[str]) -> int:
    """Predicts what the command line names."""
    paths = find_pictures(argv)
    quiet_pillow()
    with quiet_start():
        import numpy as np

        from voc_tfdata.evaluation.picture_grid import MAX_PICTURES
        from voc_tfdata.evaluation.prediction_files import write_file
        from voc_tfdata.evaluation.report import write_picture_grid, write_predictions_csv
        from voc_tfdata.model.trained_model import load_model, predict_jpegs
        from voc_tfdata.pipeline.transforms import decode_jpeg

    trained = load_model(_CHECKPOINT.value)
    thresholds = find_thresholds(_THRESHOLD.value, _CHECKPOINT.value, trained.class_names)
    shown: list[np.ndarray] = []
    seen: list[str] = []
    faults: list[BadFileError] = []
    scores = []
    progress = tqdm(total=len(paths), unit=" images", disable=not sys.stderr.isatty(), leave=False)
    with ThreadPoolExecutor() as threads, progress:
        for start in range(0, len(paths), _BATCH_SIZE.value):
            batch = paths[start : start + _BATCH_SIZE.value]
            loaded = list(threads.map(load_picture, batch))
            progress.update(len(batch))
            faults += [error for error in loaded if isinstance(error, BadFileError)]
            good = [(path, jpeg) for path, jpeg in zip(batch, loaded, strict=True) if isinstance(jpeg, bytes)]
            if good:
                seen += [str(path) for path, _ in good]
                scores.append(predict_jpegs(trained, [jpeg for _, jpeg in good]))
                shown += [decode_jpeg(jpeg).numpy() for _, jpeg in good[: MAX_PICTURES - len(shown)]]
    for fault in faults:
        logging.error("%s", fault)
    if faults and _ON_ERROR.value == "fail":
        raise ValueError(f"{len(faults)} of {len(paths)} images cannot be read; --on_error=skip goes on without them")
    if not seen:
        raise ValueError("no image is left to predict")
    y_score = np.concatenate(scores)
    out_dir, count = Path(_OUT_DIR.value), len(shown)
    answers: list[dict[str, object]] = []
    names: list[list[str]] = []
    for path, row in zip(seen, y_score.tolist(), strict=True):
        predicted = choose_classes(row, trained.class_names, thresholds, top_k=_TOP_K.value)
        print(f"{path}: {describe_scores(row, trained.class_names, predicted)}")
        scores_of = dict(zip(trained.class_names, row, strict=True))
        names.append(predicted)
        answers.append({"file": path, "predicted": {name: scores_of[name] for name in predicted}, "scores": scores_of})
    write_predictions_csv(out_dir / "predictions.csv", seen, None, y_score, trained.class_names, predicted=names)
    write_file(out_dir / "predictions.json", json.dumps(answers, indent=1, ensure_ascii=False) + "\n")
    write_picture_grid(
        shown,
        None,
        y_score[:count],
        seen[:count],
        trained.class_names,
        out_dir / "pictures.png",
        predicted=names[:count],
    )
    print("\n" + ", ".join(str(out_dir / name) for name in ("predictions.csv", "predictions.json", "pictures.png")))
    return 0


def find_thresholds(text: str, checkpoint: str, class_names: Sequence[str]) -> list[float]:
    """Returns the threshold of each class.

    Args:
      text: a number from 0 to 1, or "best": those of metrics.json beside the checkpoint, 0.5 where it has none.
      checkpoint: path of the model.
      class_names: of its outputs.

    Raises:
      ValueError: neither, or there is no such report.
    """
    if text != "best":
        try:
            threshold = float(text)
        except ValueError:
            threshold = -1.0
        if not 0 <= threshold <= 1:
            raise ValueError(f"--threshold={text}; it is a number from 0 to 1, or best")
        return [threshold] * len(class_names)
    path = Path(checkpoint).parent / "metrics.json"
    try:
        best = json.loads(path.read_text(encoding="utf-8"))["best_threshold"]
        return [0.5 if best.get(name) is None else float(best[name]) for name in class_names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise ValueError(
            f"--threshold=best: no thresholds in {path}, the report beside the checkpoint; give a number, or write it "
            f"by voc_tfdata evaluate --checkpoint={checkpoint} --records=RECORDS --out_dir={path.parent}"
            f"{' --overwrite' if path.exists() else ''}"
        ) from err


def choose_classes(
    row: Sequence[float], class_names: Sequence[str], thresholds: Sequence[float], *, top_k: int = 0
) -> list[str]:
    """Returns the classes above their thresholds, or the top_k likeliest if that is not 0, the likeliest first."""
    ranked = sorted(zip(row, class_names, thresholds, strict=True), key=lambda triple: -triple[0])
    return [name for place, (score, name, least) in enumerate(ranked) if (place < top_k if top_k else score > least)]


def find_pictures(arguments: Sequence[str]) -> list[Path]:
    """Returns the files named, and the images in the folders named, each once, folders in sorted order.

    Raises:
      ValueError: nothing is named, or a folder holds no image.
      FileNotFoundError: there is no such file.
    """
    if not arguments:
        raise ValueError("name the images: voc_tfdata predict --checkpoint=best.keras a.jpg FOLDER ...")
    paths: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            suffixes = (*PICTURE_SUFFIXES, *UNREAD_SUFFIXES)  # those too: they are told of, not passed over
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
            if not found:
                raise ValueError(f"{path} holds no image ({', '.join(PICTURE_SUFFIXES)})")
            paths += found
        elif path.exists() and not path.is_file():
            raise ValueError(f"{path} is no file (a pipe, a device?); name images, or folders of images")
        elif path.exists():
            paths.append(path)
        else:
            raise FileNotFoundError(f"no file {path}")
    return list(dict.fromkeys(paths))


def load_picture(path: Path) -> bytes | BadFileError:
    """Returns an image as upright JPEG, as the converter would store it, or what is wrong with it."""
    try:
        return load_upright_jpeg(path.read_bytes(), path=str(path)).jpeg
    except BadFileError as err:
        return err
    except OSError as err:
        return as_bad_file(err, str(path))


def describe_scores(row: Sequence[float], class_names: Sequence[str], predicted: Sequence[str]) -> str:
    """Returns e.g. "dog 0.91, person 0.55": the classes predicted, else the likeliest one."""
    scores = dict(zip(class_names, row, strict=True))
    if predicted:
        return ", ".join(f"{name} {scores[name]:.2f}" for name in predicted)
    likeliest = max(class_names, key=scores.__getitem__)
    return f"nothing above the threshold ({likeliest} {scores[likeliest]:.3f})"


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
