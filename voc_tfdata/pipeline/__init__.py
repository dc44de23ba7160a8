"""Records -> batches of images and labels, as an ordinary tf.data.Dataset.

In: a folder of records and a handful of numbers. Out: (images uint8 [B, H, W, 3], labels float32 [B, C]).

Read in this order: dataset (train_dataset and eval_dataset, whole), arguments (their checks), order (which image
comes when), random_access (its bytes), loading (bytes -> pixels), transforms (resize and augmentation), decoded and
store_batches (the store of decoded pixels), data_service (batches made by other machines), inline_map.
"""
