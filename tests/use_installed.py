"""Uses the installed package as another project would: python use_installed.py RECORDS (run outside the checkout)"""

from pathlib import Path

from absl import app, flags

import voc_tfdata

# A project with flags of its own; several are called like those of our commands.
flags.DEFINE_integer("batch_size", 4, "ours")
flags.DEFINE_integer("seed", 1, "ours")
flags.DEFINE_string("records", "", "ours")


def main(argv: list[str]) -> None:
    import tensorflow as tf

    checkout = Path(__file__).resolve().parents[1]
    assert not Path(voc_tfdata.__file__).is_relative_to(checkout), f"{voc_tfdata.__file__} is not the installed one"
    records = argv[1]
    train_ds = voc_tfdata.train_dataset(records, split="train", batch_size=4, image_size=64, seed=0)
    val_ds = voc_tfdata.eval_dataset(records, split="val", batch_size=4, image_size=64)
    model = tf.keras.Sequential(
        [
            tf.keras.Input((64, 64, 3)),
            tf.keras.layers.Rescaling(1 / 255),
            tf.keras.layers.GlobalAveragePooling2D(),
            tf.keras.layers.Dense(20, activation="sigmoid"),
        ]
    )
    model.compile("sgd", "binary_crossentropy")
    steps = voc_tfdata.epoch_steps(records, "train", batch_size=4)
    model.fit(train_ds, steps_per_epoch=steps, validation_data=val_ds, shuffle=False, verbose=0)
    for images, labels in train_ds.take(2):
        assert images.shape == (4, 64, 64, 3) and images.dtype == tf.uint8
        assert labels.shape == (4, 20) and labels.dtype == tf.float32
    seen = sum(int(images.shape[0]) for images, _ in val_ds)
    assert seen == voc_tfdata.read_manifest(records).splits["val"].num_examples
    print(f"installed voc_tfdata {voc_tfdata.__version__} with TensorFlow {tf.__version__}: fit and plain loop work")


if __name__ == "__main__":
    app.run(main)
