"""A JAX training loop on train_dataset: a linear classifier by plain gradient descent.

pip install jax                                     # TensorFlow makes the batches, JAX trains
python examples/jax_loop.py records/voc2012
"""

import sys

import jax
import jax.numpy as jnp

import voc_tfdata

SIZE, STEPS, LEARNING_RATE = 32, 20, 1e-2


def compute_loss(weights: jax.Array, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the cross-entropy of the classes that count."""
    x = images.reshape(len(images), -1).astype(jnp.float32) / 127.5 - 1  # [B, S * S * 3]
    logits = x @ weights
    losses = jnp.logaddexp(0, logits) - jnp.maximum(labels, 0) * logits
    return jnp.sum(losses, where=labels >= 0) / jnp.sum(labels >= 0)  # -1: there as 'difficult' only


batches = voc_tfdata.train_dataset(
    sys.argv[1], batch_size=32, image_size=SIZE, difficult="ignore", drop_remainder=True
)  # one shape: jit compiles once
weights = jnp.zeros([SIZE * SIZE * 3, len(voc_tfdata.read_manifest(sys.argv[1]).classes)])
step_fn = jax.jit(jax.value_and_grad(compute_loss))

for step, (images, labels) in enumerate(batches.take(STEPS).as_numpy_iterator()):
    loss, gradient = step_fn(weights, images, labels)
    weights -= LEARNING_RATE * gradient
    if step % 5 == 0:
        print(f"step {step}: {images.shape} on {jax.devices()[0]}, loss {loss:.4f}")
