"""Recipes: settings of the trainer that were tried, each a flagfile with what it is for and what to expect of it.

In: nothing. Out: the path of NAME.flags, by commands.recipes; printed by `voc_tfdata recipes`, used by
`voc_tfdata train --recipe=NAME --records=... --out_dir=...`.

Read in this order: quickstart (the drawn sample), voc2012 (the reference article's settings), voc_scratch (learns
without pretrained weights), voc_finetune (VGG16 from ImageNet weights),
transfer (any network with weights: the outputs first, then all of it).
"""
