"""Bytes across networks. It knows nothing of records.

In: an address (s3://, gs://, az://, hdfs://, http(s)://).
Out: the file's bytes, or the reason in one line why they cannot be read or written.

Read in this order: addresses (what is remote, and which back end serves it), files (read, write, list, retry).
"""
