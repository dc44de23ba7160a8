"""Networks, their weights, and a trained model as a file and on images.

In: batches of uint8 images. Out: a probability of each class.

Read in this order: networks (what --model builds; vgg16 the reference), pretrained (ImageNet weights), trained_model
(best.keras, with its class names, on images that are no records), serving (a SavedModel), upright (what the converter
does to an image, inside it), network_files (TFLite and ONNX).
"""
