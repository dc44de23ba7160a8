"""Networks, their weights, and a trained model as a file and on images.

In: batches of uint8 images. Out: a probability of each class.

Read in this order: vgg16 (the network), pretrained (ImageNet weights), trained_model (best.keras, with its class
names), serving (the model on images that are no records).
"""
