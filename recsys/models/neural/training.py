"""Where a fit stands, and the checkpoint it can go on from."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bakeoff import durable
from recsys.models.base import State


class Training:
    """Where a fit stands: the network, its optimiser, the epoch, the best epoch so far; kept in a checkpoint."""

    def __init__(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, folder: Path | None, question: str
    ) -> None:
        self.network, self.optimiser = network, optimiser
        self.file = None if folder is None else folder / "checkpoint.npz"
        self.question = question
        self.epoch = 0
        self.best: State | None = None
        self.best_value, self.best_epoch = -math.inf, 0

    def arrays(self) -> State:
        """What the network has learnt, as arrays of its own."""
        # a copy: the next epoch writes into the network's own
        return {f"network.{n}": t.detach().cpu().numpy().copy() for n, t in self.network.state_dict().items()}

    def note(self, value: float, learnt: State) -> None:
        """Remember an epoch that ranks better than all before it, and where the fit stands."""
        if value > self.best_value:
            self.best, self.best_value, self.best_epoch = learnt, value, self.epoch
        if self.file is not None:
            self._write(self.file)

    def resume(self, about: State) -> None:
        """Go on from the checkpoint, if there is one of the same fit."""
        if self.file is None or not self.file.exists():
            return
        with np.load(self.file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        if str(arrays["question"]) != self.question:
            raise ValueError(f"{self.file} is the checkpoint of a fit on other data or parameters; name another folder")
        self.epoch, self.best_epoch = int(arrays["epoch"]), int(arrays["best_epoch"])
        self.best_value = float(arrays["best_value"])
        self.network.load_state_dict(tensors(arrays, "network."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors(arrays, "optimiser.").items():
            place, moment = name.split(".", 1)
            state.setdefault(int(place), {})[moment] = tensor
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": state})
        if self.best_epoch:
            self.best = about | {n.removeprefix("best."): a for n, a in arrays.items() if n.startswith("best.")}

    def _write(self, file: Path) -> None:
        arrays = self.arrays() | {
            f"optimiser.{place}.{name}": torch.as_tensor(moment).cpu().numpy()
            for place, moments in self.optimiser.state_dict()["state"].items()
            for name, moment in moments.items()
        }
        best = {f"best.{n}": a for n, a in (self.best or {}).items() if n.startswith("network.")}
        where = {"epoch": self.epoch, "best_epoch": self.best_epoch, "best_value": self.best_value}
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, question=self.question, **arrays, **best, **where)
        durable.write_bytes(file, content.getvalue())


def tensors(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    """The arrays under a prefix, without it, as tensors of their own."""
    return {n.removeprefix(prefix): torch.tensor(a) for n, a in arrays.items() if n.startswith(prefix)}
