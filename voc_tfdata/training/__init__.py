"""Losses, devices and hosts, the training loop, the run folder.

In: a model, batches, the settings of a run. Out: best.keras, a state to resume from, a history.

Read in this order: loop (the whole of a run), epoch (its steps), train_step (one of them), losses, optimizers,
monitors (which epoch is best, when to stop), run_folder and run_saver (what lies in out_dir), recorder and history
(the numbers of an epoch), devices (one machine), cluster and hosts (several).
"""
