"""A VOC devkit on disk -> annotations and checked, upright JPEGs. No TensorFlow, nothing about records.

In: a public archive, a folder or a .tar in the layout of the development kit.
Out: the list of its files, parsed annotations, the image of each, JPEG bytes that every reader can decode.

Read in this order: download, transfer and unpacking (getting an archive); source_files, tar_members and listing (what
is in a folder or a .tar); pairing (which image belongs to which annotation); annotations (XML); images and jpeg
(images); spill (lists too long for memory).
"""
