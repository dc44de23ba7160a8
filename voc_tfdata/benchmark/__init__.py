"""How fast is it here: python -m voc_tfdata.benchmark --records=DIR

In: a folder of records. Out: images/s of every stage of the pipeline and of a training step, as a table and as JSON.

Read in this order: __main__ (flags and table), speed (each mode measured in a process of its own).
"""
