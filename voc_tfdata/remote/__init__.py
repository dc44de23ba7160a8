"""Bytes across networks. It knows nothing of records but how they follow one another in a file.

In: an address (s3://, gs://, az://, hdfs://, http(s)://).
Out: the file's bytes, or the reason in one line why they cannot be read or written.

Read in this order: addresses (what is remote), back_ends (who serves it: tensorflow_files where tensorflow-io loads,
else fsspec_files, which reads TFRecords by frames), files (read, write, retry: what everybody else calls).
"""
