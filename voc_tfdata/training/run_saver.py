"""When and how the state of a run is saved and found again, on one host or on several."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from voc_tfdata.training.hosts import broadcast, broadcast_array
from voc_tfdata.training.learner import Learner
from voc_tfdata.training.run_folder import (
    PREVIOUS_NAME,
    RunState,
    find_state,
    load_state,
    read_state,
    read_values,
    save_state,
)
from voc_tfdata.training.stopping import StopRequest, TrainingStopped


class RunSaver:
    """Saves a learner and the state of its run to one file, and keeps the time since the last save."""

    def __init__(
        self,
        path: Path,
        learner: Learner,
        identity: Mapping[str, object],
        *,
        minutes: float,
        stop: StopRequest | None = None,
    ) -> None:
        """Prepares to save.

        Args:
          path: of the file; read and written by the chief only.
          learner: whose variables are saved.
          identity: what makes this run another one than the one in the file, see save_state.
          minutes: a save is due so long after the last one.
          stop: set when the run is to save and end.
        """
        self._stop = stop or StopRequest()
        self._path, self._learner, self._identity = path, learner, identity
        self._variables = learner.variables
        self._minutes = minutes
        self._saved_at = time.monotonic()

    def restore(self) -> RunState:
        """Returns the state to go on from, the variables set to it on every host from the chief's file.

        Raises:
          ValueError: the file holds the state of another run, or is damaged.
        """
        strategy, chief = self._learner.strategy, self._learner.is_chief
        path = find_state(self._path, self._identity) if chief else None
        if self._learner.num_hosts == 1:
            return load_state(path, self._variables, self._identity) if path else RunState()
        state, values = RunState(), [np.zeros(variable.shape, variable.dtype) for variable in self._variables]
        if not broadcast(path is not None if chief else None, strategy):
            return state
        if path is not None:
            state, values = read_state(path, len(self._variables), self._identity)
        state = RunState(**broadcast(asdict(state), strategy))
        if state.variables_kept:
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(broadcast_array(value, strategy))
        return state

    def save(self, state: RunState) -> None:
        """Saves the state and the variables as they are. With several hosts, all must come to it.

        Raises:
          FloatingPointError: a variable holds NaN or infinity; the file is left as it is.
          OSError: the file cannot be written.
        """
        values = read_values(self._variables)  # on every host
        if self._learner.is_chief:
            save_state(self._path, state, self._variables, self._identity, values=values)
        self._saved_at = time.monotonic()

    def save_finished(self, state: RunState) -> None:
        """Saves what became of a run that is finished, and removes what only going on with it would need.

        Raises:
          OSError: the file cannot be written.
        """
        state.variables_kept = False
        if self._learner.is_chief:
            save_state(self._path, state, (), self._identity)
            self._path.with_name(PREVIOUS_NAME).unlink(missing_ok=True)

    def end_if_asked(self, state: RunState) -> None:
        """Saves and raises TrainingStopped if the run was asked to end. With several hosts, all must come to it."""
        number = int(broadcast(self._stop.signal_number, self._learner.strategy))
        if number:
            if state.variables_kept:
                self.save(state)
            raise TrainingStopped(number, state.step)

    @property
    def is_asked(self) -> bool:
        """Whether this process was asked to end."""
        return bool(self._stop.signal_number)

    @property
    def asks_every_step(self) -> bool:
        """Whether end_if_asked costs nothing: several hosts have to agree."""
        return self._learner.num_hosts == 1

    def is_due(self) -> bool:
        """Returns whether it is time to save, by the chief's clock: all hosts must save at the same step."""
        return bool(broadcast(time.monotonic() - self._saved_at >= 60 * self._minutes, self._learner.strategy))
