"""PASCAL-VOC-format data for image classifiers in TensorFlow: converter, tf.data pipeline, VOC metric.

    import voc_tfdata
    train_ds = voc_tfdata.train_dataset("records/voc2012", split="train", batch_size=32, image_size=224, seed=0)
    val_ds = voc_tfdata.eval_dataset("records/voc2012", split="val", batch_size=32, image_size=224)

Names are imported when first used, so that importing the package costs nothing and the converter's processes never
load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from voc_tfdata.version import __version__

if TYPE_CHECKING:
    from voc_tfdata.classes import VOC_CLASSES
    from voc_tfdata.convert.build import build_records
    from voc_tfdata.evaluation.average_precision import average_precision, mean_average_precision
    from voc_tfdata.evaluation.predictions import evaluate
    from voc_tfdata.model.networks import build_model
    from voc_tfdata.model.trained_model import load_model, save_model
    from voc_tfdata.model.vgg16 import build_vgg16
    from voc_tfdata.pipeline.dataset import epoch_steps, eval_dataset, read_examples, train_dataset
    from voc_tfdata.pipeline.preview import preview
    from voc_tfdata.records.examples import parse_example
    from voc_tfdata.records.manifest import read_manifest
    from voc_tfdata.records.verify import verify_records
    from voc_tfdata.training.keras_losses import MaskedBinaryAccuracy, MaskedBinaryCrossentropy, positive_weights

__all__ = [
    "MaskedBinaryAccuracy",
    "MaskedBinaryCrossentropy",
    "VOC_CLASSES",
    "__version__",
    "average_precision",
    "build_records",
    "build_model",
    "build_vgg16",
    "epoch_steps",
    "eval_dataset",
    "evaluate",
    "load_model",
    "mean_average_precision",
    "parse_example",
    "positive_weights",
    "preview",
    "read_examples",
    "read_manifest",
    "save_model",
    "train_dataset",
    "verify_records",
]

_MODULE_OF = {
    "MaskedBinaryAccuracy": "training.keras_losses",
    "MaskedBinaryCrossentropy": "training.keras_losses",
    "VOC_CLASSES": "classes",
    "average_precision": "evaluation.average_precision",
    "build_records": "convert.build",
    "build_model": "model.networks",
    "build_vgg16": "model.vgg16",
    "epoch_steps": "pipeline.dataset",
    "eval_dataset": "pipeline.dataset",
    "evaluate": "evaluation.predictions",
    "load_model": "model.trained_model",
    "mean_average_precision": "evaluation.average_precision",
    "parse_example": "records.examples",
    "positive_weights": "training.keras_losses",
    "preview": "pipeline.preview",
    "read_examples": "pipeline.dataset",
    "read_manifest": "records.manifest",
    "save_model": "model.trained_model",
    "train_dataset": "pipeline.dataset",
    "verify_records": "records.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'voc_tfdata' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"voc_tfdata.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
