"""The command line: flags, texts, exit statuses. Nothing is computed here, and nothing imports it.

One file a command: flags on top, then main, which checks them and calls the library. command_line starts a command
and turns an exception into one line and a status.

Read in the order of use: make_sample or download_voc, build_tfrecords, inspect_records, train, predict, export_model,
data_service.
"""
