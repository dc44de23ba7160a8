"""A torch training loop on train_dataset: DLPack hands the memory of each batch over, and nothing is copied.

pip install torch                                   # TensorFlow makes the batches, torch trains
python examples/torch_loop.py records/voc2012
"""

import sys

import tensorflow as tf
import torch

import voc_tfdata

SIZE, STEPS = 64, 20

batches = voc_tfdata.train_dataset(sys.argv[1], batch_size=32, image_size=SIZE, augment="crop", difficult="ignore")
num_classes = len(voc_tfdata.read_manifest(sys.argv[1]).classes)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3, stride=2),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(4),
    torch.nn.Flatten(),
    torch.nn.Linear(32 * 16, num_classes),
)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)

for step, (images, labels) in enumerate(batches.take(STEPS)):
    x, y = (torch.from_dlpack(tf.experimental.dlpack.to_dlpack(t)) for t in (images, labels))
    x = x.permute(0, 3, 1, 2).float() / 127.5 - 1  # [B, S, S, 3] uint8 -> [B, 3, S, S]
    counted = (y >= 0).float()  # -1 marks a class that is there as 'difficult' only
    losses = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y.clamp(min=0), reduction="none")
    loss = (losses * counted).sum() / counted.sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 5 == 0:
        print(f"step {step}: {tuple(x.shape)}, loss {loss.item():.4f}")
