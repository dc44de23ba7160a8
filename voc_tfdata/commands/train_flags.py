"""The flags of `voc_tfdata train`, what they are checked for, and the text in which they are kept.

from voc_tfdata.commands import train_flags as flag
flag.BATCH_SIZE.value
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from voc_tfdata.evaluation.average_precision import DEFINITIONS
from voc_tfdata.image_size import ImageSize, format_size, parse_size
from voc_tfdata.training.cluster import find_cluster
from voc_tfdata.training.monitors import MONITORS


class _SizeParser(flags.ArgumentParser[ImageSize]):
    """224, or 192,320: height and width."""

    syntactic_help = "one side, or height,width; 32 or more"

    def parse(self, argument: str | ImageSize) -> ImageSize:
        """Returns the size of a text, or the default."""
        return parse_size(argument, least=32) if isinstance(argument, str) else argument


class _SizeSerializer(flags.ArgumentSerializer[ImageSize]):
    """Writes what _SizeParser reads."""

    def serialize(self, value: ImageSize) -> str:
        """Returns the text of a flagfile."""
        return format_size(value)


RECIPE = flags.DEFINE_string("recipe", None, "Name of a recipe whose flags come first: see voc_tfdata recipes.")
RECORDS = flags.DEFINE_string(
    "records", None, "Folder written by build_tfrecords, or its URI; several as one: a,b.", required=True
)
OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder for everything this run writes.", required=True)
TRAIN_SPLIT = flags.DEFINE_string(
    "train_split", "train", "Split to train on; a union: train+val; of several data sets one for each: train+val,train."
)
VAL_SPLIT = flags.DEFINE_string("val_split", "val", "Split that chooses the best epoch.")
TEST_SPLIT = flags.DEFINE_string("test_split", "test", "Split of the final evaluation.")
DIFFICULT = flags.DEFINE_enum(
    "difficult",
    "ignore",
    ["positive", "ignore", "negative"],
    "Label of a class whose objects are all marked difficult: positive (1), ignore (-1) or negative (0).",
)
DEFINITION = flags.DEFINE_enum("definition", "voc2010", list(DEFINITIONS), "Definition of average precision.")

IMAGE_SIZE = flags.DEFINE(
    _SizeParser(), "image_size", 224, "Side of the images in pixels, or height,width.", serializer=_SizeSerializer()
)
RESIZE = flags.DEFINE_enum("resize", "bilinear", ["bilinear", "antialias", "pad"], "How images are resized.")
AUGMENT = flags.DEFINE_enum("augment", "none", ["none", "flip", "crop"], "Augmentation; crop flips as well.")
COLOR_JITTER = flags.DEFINE_float(
    "color_jitter", 0.0, "Strength of random changes of brightness, contrast and saturation.", 0.0, 1.0
)
CACHE = flags.DEFINE_enum("cache", "none", ["none", "decoded"], "decoded: keep the resized images in one file.")
CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "", "Local folder of that file (default: beside the records), and of the mirror of remote records."
)
DATA_SERVICE = flags.DEFINE_string(
    "data_service", "", "grpc://host:port of voc_tfdata data-service, whose workers make the training batches."
)

MODEL = flags.DEFINE_string(
    "model",
    "vgg16",
    "vgg16, a network of keras.applications in lower case (resnet50, efficientnetv2b0 ...), or FILE.py:FUNCTION.",
)
POOLING = flags.DEFINE_enum("pooling", "avg", ["avg", "max"], "Of the last feature map; vgg16 flattens it.")
WEIGHTS = flags.DEFINE_string(
    "weights", "none", "none, imagenet, or a file of weights of this network; of a FILE.py:FUNCTION what it takes."
)
FREEZE_EPOCHS = flags.DEFINE_integer(
    "freeze_epochs", 0, "First epochs, which train the outputs only and leave the pretrained part as it is.", 0
)
BACKBONE_RATE = flags.DEFINE_float(
    "backbone_rate", 1.0, "Learning rate of the pretrained part, as a share of --learning_rate.", 0.0, 1.0
)
BATCH_NORM = flags.DEFINE_bool("batch_norm", False, "Batch normalisation after convolutions, He initialisation.")
DROPOUT = flags.DEFINE_float("dropout", 0.0, "Dropout rate of the two hidden layers.", 0.0, 0.99)

BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images per step, over all devices of all hosts.", lower_bound=1)
EPOCHS = flags.DEFINE_integer("epochs", 20, "Maximum number of epochs.", lower_bound=1)
MAX_STEPS = flags.DEFINE_integer("max_steps", 0, "Maximum number of steps in all; 0: no limit.", lower_bound=0)
PRIOR_BIAS = flags.DEFINE_bool("prior_bias", False, "Start the outputs at the class frequencies.")
OPTIMIZER = flags.DEFINE_enum("optimizer", "rmsprop", ["rmsprop", "sgd", "adam", "adamw"], "Optimizer.")
LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Highest learning rate.")
WARMUP_STEPS = flags.DEFINE_integer("warmup_steps", 0, "Steps in which the rate rises to it.", lower_bound=0)
COSINE_DECAY = flags.DEFINE_bool("cosine_decay", False, "Let the rate fall to 0 along a cosine.")
WEIGHT_DECAY = flags.DEFINE_float("weight_decay", 0.0, "Decoupled weight decay of kernels.", lower_bound=0.0)
CLIP_NORM = flags.DEFINE_float(
    "clip_norm", 0.0, "Clip the global gradient norm to this value; 0 disables clipping.", lower_bound=0.0
)
POSITIVE_WEIGHT = flags.DEFINE_bool("positive_weight", False, "Weight labels of 1 by their rarity in the class.")
LABEL_SMOOTHING = flags.DEFINE_float(
    "label_smoothing", 0.0, "Smoothing s: labels 0 and 1 become s/2 and 1 - s/2.", 0.0, 0.99
)
MONITOR = flags.DEFINE_enum("monitor", "val_loss", list(MONITORS), "What the best epoch is chosen by.")
PATIENCE = flags.DEFINE_integer(
    "patience", 4, "Stop after this many epochs without a better one; 0: never.", lower_bound=0
)
SEED = flags.DEFINE_integer("seed", 0, "Fixes weights, order, augmentation, dropout.", lower_bound=0)

PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    ["auto", "float32", "mixed_bfloat16", "mixed_float16"],
    "auto: the fastest that is sound on this machine.",
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "none", "mirrored", "multi_worker"],
    "auto: all hosts of the variable TF_CONFIG, without it all GPUs if several.",
)
START_TIMEOUT = flags.DEFINE_float("start_timeout", 300.0, "Seconds to wait for the other hosts of TF_CONFIG.", 1.0)
JIT_COMPILE = flags.DEFINE_bool(
    "jit_compile", None, "Compile the training step by XLA (default: on one GPU, without --deterministic)."
)
DETERMINISTIC = flags.DEFINE_bool("deterministic", False, "Deterministic ops: equal runs are equal to the bit.")
RESUME = flags.DEFINE_bool("resume", True, "Go on with the run in out_dir; false deletes it and starts anew.")
CHECKPOINT_MINUTES = flags.DEFINE_float(
    "checkpoint_minutes", 10.0, "Minutes between saves of the state; also saved after epoch 1 and at the end.", 0.0
)
KEEP_STATE = flags.DEFINE_bool(
    "keep_state", False, "Keep the state of a finished run (three times its model's size), to go on with more --epochs."
)
EVAL_ONLY = flags.DEFINE_bool("eval_only", False, "Evaluate a checkpoint into out_dir/evaluation_SPLIT, train nothing.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "", "Model of --eval_only; default: out_dir/best.keras.")
CALLBACKS = flags.DEFINE_string(
    "callbacks", "", "FILE.py:FUNCTION that returns Keras callbacks, e.g. of MLflow; told of every epoch."
)
TENSORBOARD = flags.DEFINE_bool("tensorboard", True, "Write TensorBoard scalars.")
PROFILE = flags.DEFINE_bool("profile", False, "Write a TensorBoard profile of ten steps.")

# A run with another value here is another run: it does not go on from the state of this one.
_IDENTITY = (
    "train_split val_split difficult definition image_size resize augment color_jitter model pooling weights "
    "batch_norm freeze_epochs dropout "
    "prior_bias batch_size optimizer monitor seed precision"
).split()
# These may change when a run goes on, and change what comes out of it: it says so.
_TELLING = (
    "learning_rate backbone_rate warmup_steps cosine_decay weight_decay clip_norm positive_weight label_smoothing "
    "epochs max_steps patience deterministic jit_compile"
).split()


def check_flags() -> None:
    """Raises ValueError for what the flags' own bounds let pass."""
    if RECIPE.value:
        raise ValueError("--recipe is for the command line; in a flagfile name the recipe's file by --flagfile")
    if not 0 < LEARNING_RATE.value < float("inf"):
        raise ValueError(f"--learning_rate={LEARNING_RATE.value}; it must be a number above 0")
    if "://" in OUT_DIR.value:
        raise ValueError(f"--out_dir={OUT_DIR.value}; it must be a local folder")
    own = ":" in MODEL.value  # what --weights means is its builder's to say
    if not own and WEIGHTS.value not in ("none", "imagenet") and not Path(WEIGHTS.value).is_file():
        raise ValueError(f"--weights={WEIGHTS.value}: no such file; give none, imagenet or the path of an .h5 file")
    if WEIGHTS.value != "none" and BATCH_NORM.value:
        raise ValueError(
            f"--weights={WEIGHTS.value} --batch_norm: these weights are of VGG16 without it; leave one out"
        )
    if BATCH_NORM.value and MODEL.value != "vgg16":
        raise ValueError(
            f"--batch_norm is an option of vgg16; {MODEL.value} has its own: add --nobatch_norm if a recipe has set it"
        )
    if FREEZE_EPOCHS.value and WEIGHTS.value == "none":
        raise ValueError(
            f"--freeze_epochs={FREEZE_EPOCHS.value} would freeze weights that are random; give --weights, or "
            "--freeze_epochs=0 if a recipe has set it"
        )
    if not EVAL_ONLY.value:
        find_cluster(STRATEGY.value)
    if CHECKPOINT.value and not EVAL_ONLY.value:
        raise ValueError("--checkpoint is for --eval_only; training goes on from the state in --out_dir by itself")


def list_identity() -> dict[str, object]:
    """Returns the flags that make a run this one and no other, by name."""
    values = {name: flags.FLAGS[name].value for name in _IDENTITY}
    if isinstance(IMAGE_SIZE.value, tuple):
        values["image_size"] = format_size(IMAGE_SIZE.value)  # JSON, in which it is kept, knows no tuples
    return values


def format_flags() -> str:
    """Returns every flag of this command that has a value, as a --flagfile takes them."""
    own = flags.FLAGS.get_flags_for_module(__name__)
    return "".join(f"{flag.serialize()}\n" for flag in own if flag.value is not None)


def list_changes(flags_text: str) -> list[str]:
    """Returns "NAME was X, now Y" for each flag whose change a resumed run must tell of.

    Args:
      flags_text: of format_flags, of the run before.
    """
    before = {}
    for line in flags_text.splitlines():
        name, equals, value = line.removeprefix("--").partition("=")
        before[name.removeprefix("no") if not equals and name.startswith("no") else name] = (
            value if equals else str(not name.startswith("no")).lower()
        )
    changes = []
    for name in _TELLING:
        now = flags.FLAGS[name].value
        now_text = str(now).lower() if isinstance(now, bool) else str(now)
        if name in before and before[name] != now_text:
            changes.append(f"{name} was {before[name]}, now {now_text}")
    return changes
