"""Transfer learning: another Keras application on our data set, with model.fit.

python examples/transfer_learning.py --records=records/voc2012
python examples/transfer_learning.py --records=quickstart/records --image_size=96 --epochs=2 --weights=none
"""

import tensorflow as tf
from absl import app, flags

import voc_tfdata

_RECORDS = flags.DEFINE_string("records", None, "Folder written by build_tfrecords.", required=True)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the pictures in pixels.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Pictures a step.")
_EPOCHS = flags.DEFINE_integer("epochs", 5, "Epochs.")
_WEIGHTS = flags.DEFINE_enum("weights", "imagenet", ["imagenet", "none"], "imagenet is downloaded by Keras.")


def build_model(image_size: int, num_classes: int, weights: str) -> tf.keras.Model:
    """Returns a MobileNetV2 with a new head: uint8 pictures in, one probability a class out."""
    pretrained = weights == "imagenet"
    base = tf.keras.applications.MobileNetV2(
        include_top=False,
        weights="imagenet" if pretrained else None,
        input_shape=(image_size, image_size, 3),
        pooling="avg",
    )
    base.trainable = not pretrained
    images = tf.keras.Input((image_size, image_size, 3), dtype="uint8")
    x = tf.keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)  # what MobileNetV2 was trained on: -1 to 1
    x = base(x, training=not pretrained)
    logits = tf.keras.layers.Dense(num_classes)(x)
    return tf.keras.Model(images, tf.keras.layers.Activation("sigmoid", dtype="float32")(logits))


def main(argv: list[str]) -> None:
    records, size, batch_size = _RECORDS.value, _IMAGE_SIZE.value, _BATCH_SIZE.value
    train_ds = voc_tfdata.train_dataset(records, "train", batch_size=batch_size, image_size=size, augment="flip")
    val_ds = voc_tfdata.eval_dataset(records, "val", batch_size=batch_size, image_size=size)
    test_ds = voc_tfdata.eval_dataset(
        records, "test", batch_size=batch_size, image_size=size, difficult="ignore", with_ids=True
    )

    model = build_model(size, len(voc_tfdata.read_manifest(records).classes), _WEIGHTS.value)
    # BinaryAccuracy by name: Keras takes "accuracy" for the categorical one where there are 20 outputs.
    model.compile("adam", "binary_crossentropy", metrics=[tf.keras.metrics.BinaryAccuracy()])
    model.fit(
        train_ds,  # repeats for ever: an epoch is epoch_steps batches
        steps_per_epoch=voc_tfdata.epoch_steps(records, "train", batch_size=batch_size),
        epochs=_EPOCHS.value,
        validation_data=val_ds,
        shuffle=False,  # the pipeline shuffles; Keras warns if it is asked to
        verbose=2,
    )

    _, y_true, y_score = voc_tfdata.evaluate(model, test_ds)
    result = voc_tfdata.mean_average_precision(y_true, y_score)
    print(f"test mAP ({result.definition}): {result.mAP:.3f}")


if __name__ == "__main__":
    app.run(main)
