"""The drawn sample devkit: a VOC devkit without a photograph, to try everything before the real data is there.

In: a number of images and a seed. Out: a folder in the layout of VOC2012, the same bytes each time.

Read in this order: devkit (the folder, its lists and annotations), images (scene, objects, camera), drawings (the 20
classes; vehicles, living, furnishings hold seven, seven and six of them), shapes (polygons, ovals and lines).
"""
