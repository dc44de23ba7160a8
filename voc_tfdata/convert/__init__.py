"""A devkit -> a complete folder of records, or none.

In: a devkit and options. Out: shards, indices, ids and a manifest, the same bytes for any number of workers.

Read in the order of the work: build (the whole of it), scan (annotations parsed, images found), duplicates, splits
(which image goes where), plan (order and shards), tasks, worker, worker_pool and recovery (what runs in the
worker processes, and when one dies), shards (images become records), publish (the folder appears, the manifest
last), beam_workers (the same work on Apache Beam). Beside them: foreign and foreign_files (other programs' TFRecords,
indexed where they lie).
"""
