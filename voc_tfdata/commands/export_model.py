"""export_model: a checkpoint as a SavedModel that takes the bytes of images and gives {class: probability}.

    voc_tfdata export --checkpoint=runs/voc2012/best.keras --out_dir=exported/voc2012

JPEG and PNG; decoding, turning upright and resizing are part of it, as in training. To use it, without this package:

    serve = tf.saved_model.load("exported/voc2012").signatures["serving_default"]
    serve(jpeg=tf.constant([open("a.jpg", "rb").read()]))["dog"]
"""

from absl import flags, logging

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.quiet import quiet_start

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "best.keras of a training run.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder to make.", required=True)


def main(argv: list[str]) -> int:
    """Writes the SavedModel."""
    check_no_arguments(argv)
    with quiet_start():
        from voc_tfdata.model.serving import write_saved_model
        from voc_tfdata.model.trained_model import load_model

    trained = load_model(_CHECKPOINT.value)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TensorFlow tells of its renamed tensors and temporary files
    write_saved_model(trained, _OUT_DIR.value)
    logging.set_verbosity(verbosity)
    logging.info("%s: jpeg (string [N]) -> probability of %s", _OUT_DIR.value, ", ".join(trained.class_names))
    return 0


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
