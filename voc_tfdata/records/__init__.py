"""The format: one tf.train.Example an image, TFRecord shards with an index, a manifest over all of it.

In: a folder (or an address) that build_records wrote.
Out: its manifest, its records one by one, and what is wrong with it.

Read in this order: examples (one record), tfrecord (a shard and its .idx), manifest (the folder), describe (its text),
verify (the folder re-read to the last byte), streaming and mirror (the folder behind an address).
"""
