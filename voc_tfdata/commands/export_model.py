"""Writes a checkpoint as a SavedModel that takes the bytes of images and gives {class: probability}.

    voc_tfdata export --checkpoint=runs/voc2012/best.keras --out_dir=exported/voc2012
    voc_tfdata export --checkpoint=runs/voc2012/best.keras --out_dir=exported/lite --format=tflite

tflite and onnx (extra [onnx]) are the network alone, which takes decoded images; each is compared with the Keras model.
The SavedModel takes JPEG and PNG; decoding, turning upright and resizing are part of it, as in training.
To use it, without this package:

    serve = tf.saved_model.load("exported/voc2012").signatures["serving_default"]
    serve(jpeg=tf.constant([open("a.jpg", "rb").read()]))["dog"]
"""

from absl import flags, logging

from voc_tfdata.commands.command_line import check_no_arguments, run_command
from voc_tfdata.quiet import quiet_start

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "best.keras of a training run.", required=True)
_OUT_DIR = flags.DEFINE_string("out_dir", None, "Folder to make.", required=True)
_FORMAT = flags.DEFINE_enum("format", "saved_model", ["saved_model", "tflite", "onnx"], "What to write.")


def main(argv: list[str]) -> int:
    """Writes the SavedModel, or the network in another form."""
    check_no_arguments(argv)
    with quiet_start():
        from voc_tfdata.model.network_files import write_network
        from voc_tfdata.model.serving import write_saved_model
        from voc_tfdata.model.trained_model import load_model

    trained = load_model(_CHECKPOINT.value)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # TensorFlow tells of its renamed tensors and temporary files
    with quiet_start():
        if _FORMAT.value == "saved_model":
            write_saved_model(trained, _OUT_DIR.value)
            told = "jpeg (string [N])"
        else:
            difference = write_network(trained, _OUT_DIR.value, kind=_FORMAT.value)
            height, width = trained.image_size
            number = "1" if _FORMAT.value == "tflite" else "N"
            told = f"images (float32 [{number}, {height}, {width}, 3], RGB 0 to 255, resize={trained.resize}; at most "
            told += f"{difference:.1g} from the Keras model)"
    logging.set_verbosity(verbosity)
    logging.info("%s: %s -> probability of %s", _OUT_DIR.value, told, ", ".join(trained.class_names))
    return 0


def run() -> None:
    """The command, with the flags of this process."""
    run_command(main)
