"""One training loop for every model that learns by gradient descent: epochs, early stopping, resuming, devices."""

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import (
    Recommender,
    State,
    Watch,
    check_choice,
    check_items,
    check_real,
    check_whole,
    likes,
    training_likes,
)
from recsys.models.neural.held_out import HeldOut

try:
    import torch
except ImportError as missing:
    raise ImportError("neural models need torch: pip install 'bakeoff[torch]'") from missing
from torch import Tensor, nn

from recsys.models.neural.training import Training, tensors

Device = Literal["auto", "cpu", "cuda"]
Batch = tuple[NDArray[Any], ...]


@dataclass
class Neural(Recommender):
    """A model whose parameters are those of a torch network.

    A subclass says five things: `_sizes`, what the network's shape depends on; `_network`, the network itself;
    `_corpus` and `_epoch`, the batches of one epoch; `_loss`, what a batch costs; `_scores`, the answer to queries.
    What the network needs of the data beyond its parameters (such as item features) it holds as buffers, so that they
    are saved with it.

    patience: after so many epochs in a row without a better rank of held-out likes (the last like of up to 1,000
    users, which then is not trained on) the fit ends, and the best epoch is what was learnt. 0: nothing is held out
    and all `epochs` are run. device: `auto` takes a GPU when there is one.

    The randomness of an epoch depends on `seed` and its number alone: the same data and seed give the same model on
    the same machine, and a fit that goes on from a checkpoint ends where an uninterrupted one does.
    """

    needs: ClassVar[tuple[str, ...]] = ("torch",)
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"known_users": ("n_users",), "known_items": ("n_items",)}

    epochs: int = 100
    batch_size: int = 2048
    learning_rate: float = 0.001
    patience: int = 10
    seed: int = 0
    device: Device = "auto"

    _live: nn.Module | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs, 1)
        check_whole("batch_size", self.batch_size, 1)
        check_real("learning_rate", self.learning_rate, least=0, above=True)
        check_whole("patience", self.patience, 0)
        check_whole("seed", self.seed, 0)
        check_choice("device", self.device, Device)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device 'cuda' was asked for and there is none; use 'auto' or 'cpu'")

    @abstractmethod
    def _sizes(self, dataset: Dataset) -> dict[str, int]:
        """What the shape of the network depends on, by name."""

    @abstractmethod
    def _network(self, sizes: Mapping[str, int]) -> nn.Module:
        """A fresh network; called under the model's seed."""

    @abstractmethod
    def _corpus(self, dataset: Dataset, network: Any) -> Any:
        """What the epochs draw from, made once before the first; may fill the buffers of the network."""

    @abstractmethod
    def _epoch(self, corpus: Any, rng: np.random.Generator) -> Iterator[Batch]:
        """The batches of one epoch, as arrays."""

    @abstractmethod
    def _loss(self, network: Any, *batch: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar."""

    @abstractmethod
    def _scores(self, network: Any, queries: Queries) -> Tensor:
        """(n, n_items) scores; what must not be scored is masked by the caller."""

    def _settle(self, network: Any) -> None:
        """Bring what the network keeps for scoring up to date after an epoch; most keep nothing."""

    def _judge(self, held: HeldOut) -> float:
        """How well the model as it is foretells the held-out likes; the epoch with the highest value is kept."""
        return held.value(self)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the network's scores; NaN for items and users that it cannot know anything of."""
        learnt = self.state()
        n_items = len(learnt["known_items"])
        check_items(queries, n_items)
        if len(queries) == 0:
            return np.empty((0, n_items), np.float32)
        with torch.inference_mode():
            scores = self._scores(self._alive(), queries).float().cpu().numpy()
        scores[:, ~self._scorable(learnt)] = np.nan
        scores[~self._heard(queries, learnt)] = np.nan
        answer: NDArray[np.float32] = scores
        return answer

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        network = [name for name in state if name.startswith(("network.", "sizes."))]
        super().restore({name: array for name, array in state.items() if name not in network})
        for side in ("users", "items"):
            size, known = state.get(f"sizes.n_{side}"), len(state[f"known_{side}"])
            if size is not None and int(size.item()) != known:
                self._learn(None)
                raise ValueError(
                    f"known_{side} of {self.name!r} must be ({size},) as its network has, got ({known},): "
                    "the state is of two vocabularies"
                )
        self._learn(dict(state))
        try:
            self._alive()
        except ValueError:
            self._learn(None)
            raise
        return self

    def _scorable(self, learnt: State) -> NDArray[np.bool_]:
        """(n_items,) the items that training saw; a model that reads item features may know more."""
        return np.asarray(learnt["known_items"])

    def _heard(self, queries: Queries, learnt: State) -> NDArray[np.bool_]:
        """(n,) whether there is anything to go by: a like in the history, or, without fold-in, a user of training."""
        if self.folds_in:
            return np.diff(likes(queries.csr(len(learnt["known_items"])), "binary").indptr) > 0
        known = learnt["known_users"]
        inside = (queries.users >= 0) & (queries.users < len(known))
        return np.asarray(inside & known[queries.users.clip(0, len(known) - 1)])

    def _optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        training_likes(dataset, "binary")  # refuses what nobody likes before anything is held out
        held = HeldOut.of(dataset, self.seed) if self.patience else None
        rest = dataset if held is None else held.rest
        device = self._device()
        with _reproducible(self.seed):
            sizes = self._sizes(rest)
            network = self._network(sizes)
            corpus = self._corpus(rest, network)
            network.to(device)
            training = Training(network, self._optimiser(network), self._checkpoint, self._question(dataset))
            about = _about(rest, sizes)
            training.resume(about)
            while training.epoch < self.epochs and not self._over(training):
                self._train(training, corpus, device)
                learnt = about | training.arrays()
                self._learn(learnt)
                training.note(math.nan if held is None else self._judge(held), learnt)
                if watch is not None:
                    watch(training.epoch, self)
            self._learn(training.best or about | training.arrays())

    def _over(self, training: Training) -> bool:
        return training.best is not None and training.epoch - training.best_epoch >= self.patience

    def _train(self, training: Training, corpus: Any, device: torch.device) -> None:
        """One epoch."""
        training.epoch += 1
        torch.manual_seed(_mix(self.seed, training.epoch))
        training.network.train()
        for batch in self._epoch(corpus, np.random.default_rng([self.seed, training.epoch])):
            loss = self._loss(training.network, *(torch.as_tensor(array, device=device) for array in batch))
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss of {self.name!r} became {value} in epoch {training.epoch}; lower learning_rate"
                )
            training.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            training.optimiser.step()
        self._settle(training.network)

    def _learn(self, learnt: State | None) -> None:
        self._learnt, self._live = learnt, None

    def _alive(self) -> nn.Module:
        """The network with what was learnt in it, kept until something else is learnt."""
        if self._live is None:
            learnt = self.state()
            sizes = {n.removeprefix("sizes."): int(a.item()) for n, a in learnt.items() if n.startswith("sizes.")}
            try:
                with _reproducible(self.seed):
                    network = self._network(sizes)
                network.load_state_dict(tensors(learnt, "network."))
            except (KeyError, ValueError, RuntimeError) as error:
                raise ValueError(
                    f"the state of {self.name!r} holds another network than its parameters make: {error}"
                ) from None
            self._live = network.eval().to(self._device())
        return self._live

    def _device(self) -> torch.device:
        kind = self.device
        if kind == "auto":
            kind = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(kind)

    def _question(self, dataset: Dataset) -> str:
        """What a checkpoint must agree with to be gone on from; how many epochs are run may change."""
        params = {key: value for key, value in self.params().items() if key not in ("epochs", "device")}
        text = json.dumps([self.name, params, dataset.fingerprint], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _about(dataset: Dataset, sizes: Mapping[str, int]) -> State:
    """What a model keeps beside its network: who and what it knows, and the sizes."""
    matrix = training_likes(dataset, "binary")
    known = {
        "known_users": np.diff(matrix.indptr) > 0,
        "known_items": np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0,
    }
    return known | {f"sizes.{name}": np.array(size, np.int64) for name, size in sizes.items()}


def _mix(seed: int, epoch: int) -> int:
    """One number of a seed and an epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """torch's global generator set for a while, and as it was afterwards; only algorithms that repeat themselves."""
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # its switch has no type
    filled = memory.fill_uninitialized_memory
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # nothing here reads memory before it is written; to fill it costs 6% of a step of small tensors
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warns)
            memory.fill_uninitialized_memory = filled
