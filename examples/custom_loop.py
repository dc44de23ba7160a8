"""A training loop of one's own: difficult objects left out of the loss, resumed at any step, scored by VOC's mAP.

python examples/custom_loop.py --records=records/voc2012
python examples/custom_loop.py --records=quickstart/records --image_size=64 --steps=50
"""

import tensorflow as tf
from absl import app, flags

import voc_tfdata

_RECORDS = flags.DEFINE_string("records", None, "Folder written by build_tfrecords.", required=True)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side of the pictures in pixels.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Pictures a step.")
_STEPS = flags.DEFINE_integer("steps", 200, "Steps in all.")
_START_STEP = flags.DEFINE_integer("start_step", 0, "The data goes on exactly from here.")


def build_model(num_classes: int) -> tf.keras.Model:
    """Returns a small convolutional network: uint8 pictures in, one logit a class out."""
    layers = [tf.keras.layers.Rescaling(1 / 127.5, offset=-1.0)]
    for width in (32, 64, 128):
        layers += [tf.keras.layers.Conv2D(width, 3, padding="same", activation="relu"), tf.keras.layers.MaxPool2D()]
    return tf.keras.Sequential([*layers, tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(num_classes)])


def main(argv: list[str]) -> None:
    records, size, batch_size = _RECORDS.value, _IMAGE_SIZE.value, _BATCH_SIZE.value
    train_ds = voc_tfdata.train_dataset(
        records,
        "train",
        batch_size=batch_size,
        image_size=size,
        augment="crop",
        difficult="ignore",
        start_step=_START_STEP.value,
    )
    model = build_model(len(voc_tfdata.read_manifest(records).classes))
    optimizer = tf.keras.optimizers.Adam(1e-3)

    @tf.function
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        counted = tf.cast(labels >= 0, tf.float32)  # -1 marks a class that is there as 'difficult' only
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
            loss = tf.reduce_sum(losses * counted) / tf.reduce_sum(counted)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    for step, (images, labels) in enumerate(train_ds.take(_STEPS.value - _START_STEP.value), _START_STEP.value):
        loss = train_step(images, labels)
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.4f}")

    probabilities = tf.keras.Sequential([model, tf.keras.layers.Activation("sigmoid")])
    test_ds = voc_tfdata.eval_dataset(records, "test", image_size=size, difficult="ignore", with_ids=True)
    _, y_true, y_score = voc_tfdata.evaluate(probabilities, test_ds)
    result = voc_tfdata.mean_average_precision(y_true, y_score)
    print(f"test mAP ({result.definition}): {result.mAP:.3f}")


if __name__ == "__main__":
    app.run(main)
