"""predict: what a trained model sees in images of any format.

    voc_tfdata predict --checkpoint=runs/voc2012/best.keras --out_dir=predicted a.jpg b.png holiday/

Prints a line an image; leaves predictions.csv and pictures.png in --out_dir. Folders are searched for images, their
sub-folders too.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl import flags, logging

from voc_tfdata.commands.command_line import run_command
from voc_tfdata.devkit.image_formats import quiet_pillow
from voc_tfdata.devkit.images import load_upright_jpeg
from voc_tfdata.devkit.layout import PICTURE_SUFFIXES, UNREAD_SUFFIXES
from voc_tfdata.devkit.source_files import BadFileError, as_bad_file
from voc_tfdata.quiet import quiet_start

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "best.keras of a training run.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", "predicted", "Folder for predictions.csv and pictures.png.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Pictures at a time.", lower_bound=1)
_ON_ERROR = flags.DEFINE_enum("on_error", "fail", ["fail", "skip"], "skip: go on without images that are damaged.")


def main(argv: list[str]) -> int:
    """Predicts what the command line names."""
    paths = find_pictures(argv)
    quiet_pillow()
    with quiet_start():
        import numpy as np

        from voc_tfdata.evaluation.picture_grid import MAX_PICTURES
        from voc_tfdata.evaluation.report import write_picture_grid, write_predictions_csv
        from voc_tfdata.model.trained_model import load_model, predict_jpegs
        from voc_tfdata.pipeline.transforms import decode_jpeg

    trained = load_model(_CHECKPOINT.value)
    shown: list[np.ndarray] = []
    seen: list[str] = []
    faults: list[BadFileError] = []
    scores = []
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(paths), _BATCH_SIZE.value):
            batch = paths[start : start + _BATCH_SIZE.value]
            loaded = list(threads.map(load_picture, batch))
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
    for path, row in zip(seen, y_score, strict=True):
        print(f"{path}: {describe_scores(row.tolist(), trained.class_names)}")
    out_dir, count = Path(_OUT_DIR.value), len(shown)
    write_predictions_csv(out_dir / "predictions.csv", seen, None, y_score, trained.class_names)
    write_picture_grid(shown, None, y_score[:count], seen[:count], trained.class_names, out_dir / "pictures.png")
    print(f"\n{out_dir / 'predictions.csv'}, {out_dir / 'pictures.png'}")
    return 0


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


def describe_scores(row: Sequence[float], class_names: Sequence[str]) -> str:
    """Returns e.g. "dog 0.91, person 0.55": the classes above 0.5, the likeliest first, else the likeliest one."""
    ranked = sorted(zip(row, class_names, strict=True), key=lambda pair: -pair[0])
    present = [pair for pair in ranked if pair[0] > 0.5]
    if present:
        return ", ".join(f"{name} {score:.2f}" for score, name in present)
    return f"nothing above 0.5 ({ranked[0][1]} {ranked[0][0]:.2f})"


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
