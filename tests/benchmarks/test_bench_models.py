"""How good, how fast and how large the models are: Gowalla beside the published figures, and peers in the same run.

`make bench` runs the short ones. BAKEOFF_BENCH=full adds every model on Gowalla (BAKEOFF_DATA holds gowalla/): about
two hours on two cores, at most 8 GB.
"""

import multiprocessing
import os
import resource
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.sources.loader import load
from recsys.data.split import given
from recsys.data.vocabulary import Vocabulary
from recsys.evaluate import evaluate
from recsys.models.base import Recommender, create, training_likes
from recsys.recommend import recommend

FULL = os.environ.get("BAKEOFF_BENCH") == "full"


class Anchor(NamedTuple):
    """A model with parameters, and the Recall@20 and NDCG@20 on Gowalla to hold it against."""

    model: str
    params: dict[str, Any]
    recall: float
    ndcg: float
    source: str
    short: bool = False


ANCHORS = [
    Anchor("popularity", {}, 0.0416, 0.0317, "measured elsewhere"),
    Anchor(
        "rp3beta", {"neighbours": 400, "alpha": 0.75, "beta": 0.25}, 0.1865, 0.1535, "measured elsewhere", short=True
    ),
    Anchor(
        "item_knn",
        {"similarity": "bm25", "side": "history", "normalise": "history", "neighbours": 200},
        *(0.1528, 0.1170, "measured elsewhere, bm25; BARS .1570/.1214"),
    ),
    Anchor("user_knn", {"similarity": "tfidf"}, 0.1784, 0.1478, "ours; no published one"),
    Anchor("gfcf", {"factors": 256, "alpha": 0.3}, 0.1849, 0.1518, "published"),
    Anchor("bspm", {"factors": 256, "ideal": 0.2, "time": 2.5}, 0.1917, 0.1595, "measured elsewhere"),
    Anchor("bspm", {"factors": 448, "ideal": 0.2, "time": 2.5}, 0.1920, 0.1597, "published"),
    Anchor("ease", {"regularization": 80.0}, 0.1765, 0.1467, "BARS"),
    Anchor("slim", {"l1": 0.5, "l2": 50.0, "threads": 2}, 0.1699, 0.1382, "BARS"),
    Anchor("als", {"factors": 256, "alpha": 70.0, "regularization": 0.35}, 0.1649, 0.1325, "measured elsewhere"),
    Anchor("ials", {"factors": 64, "unobserved": 0.008}, 0.1495, 0.1236, "measured elsewhere"),
    Anchor("ials", {"factors": 256, "unobserved": 0.008}, 0.1714, 0.1393, "measured elsewhere"),
]

# six families as one. The weights (of 1 and 2) and the depth are those that were best on a validation part cut as the
# test was: of the training rows whose users and items have ten or more, a fifth of each user's; the test had no say
FUSED = {
    "item_knn": 1.0,
    "user_knn": 1.0,
    "ials-256": 1.0,
    "als": 1.0,
    "bspm-448": 2.0,
    "slim": 2.0,
}


def name_of(anchor: Anchor) -> str:
    """The model, with its factors where it has some."""
    return f"{anchor.model}-{anchor.params.get('factors', '')}".rstrip("-")


def fusion() -> Anchor:
    """The models of FUSED with their parameters of ANCHORS."""
    by_name = {key: anchor for anchor in ANCHORS for key in (anchor.model, name_of(anchor))}
    parts = [{"model": by_name[name].model, "params": by_name[name].params} for name in FUSED]
    params = {"parts": parts, "weights": list(FUSED.values()), "rule": "scores", "depth": 70}
    return Anchor("fusion", params, 0.1988, 0.1651, "wanted: .198/.165")


class Measured(NamedTuple):
    recall: float
    ndcg: float
    fit_s: float
    score_s: float
    peak_gb: float


def measure(folder: Path, model_name: str, params: dict[str, Any]) -> Measured:
    """In a process of its own, so that the peak of memory is the model's."""
    cut = given(load("lightgcn", folder=folder).dataset)
    train = cut.refit()
    began = time.perf_counter()
    model = create(model_name, **params).fit(train)
    fitted = time.perf_counter()
    card = evaluate(model, train, cut.test, ks=(20,), metrics=("recall", "ndcg"))
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return Measured(card.mean("recall_20"), card.mean("ndcg_20"), fitted - began, ended - fitted, peak)


@pytest.mark.parametrize("anchor", [*ANCHORS, fusion()], ids=name_of)
def test_gowalla(anchor: Anchor, data_folder: Path) -> None:
    if not (FULL or anchor.short):
        pytest.skip("long: BAKEOFF_BENCH=full runs it")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
        got = alone.submit(measure, data_folder / "gowalla", anchor.model, anchor.params).result()
    print(
        f"\n| {anchor.model} {anchor.params} | {got.recall:.4f} | {got.ndcg:.4f} "
        f"| {anchor.recall:.4f} / {anchor.ndcg:.4f} ({anchor.source}) "
        f"| fit {got.fit_s:.0f} s | score {got.score_s:.0f} s | {got.peak_gb:.1f} GB |"
    )
    assert got.recall > 0.98 * anchor.recall
    assert got.ndcg > 0.98 * anchor.ndcg


def learning_curve(folder: Path, params: dict[str, Any], every: int) -> list[tuple[int, float, float]]:
    """(epoch, Recall@20, NDCG@20) of LightGCN on Gowalla's test part, every so many epochs."""
    cut = given(load("lightgcn", folder=folder).dataset)
    train, found = cut.refit(), []

    def watch(epoch: int, unfinished: Recommender) -> None:
        if epoch % every == 0:
            card = evaluate(unfinished, train, cut.test, ks=(20,), metrics=("recall", "ndcg"))
            found.append((epoch, card.mean("recall_20"), card.mean("ndcg_20")))
            print(f"epoch {epoch}: {found[-1][1]:.4f} / {found[-1][2]:.4f}", flush=True)

    create("lightgcn", **params).fit(train, watch=watch)
    return found


def test_the_curve_of_lightgcn_on_gowalla(data_folder: Path) -> None:
    if not FULL:
        pytest.skip("long: BAKEOFF_BENCH=full runs it, half an hour")
    print("\nLightGCN on Gowalla, Recall@20 / NDCG@20; published after 1,000 epochs: .1823 / .1555")
    params = {"batch_size": 32_768, "learning_rate": 0.02, "epochs": 20}
    _, recall, ndcg = learning_curve(data_folder / "gowalla", params, every=4)[-1]
    # ours after 20 epochs: it is flat from the 16th on, 4% below the paper's
    assert recall > 0.98 * 0.1751
    assert ndcg > 0.98 * 0.1464


def market(n_users: int, n_items: int, n: int) -> Dataset:
    """Random likes with a long tail of items."""
    rng = np.random.default_rng(0)
    item = (n_items * rng.random(n) ** 3).astype(np.int32)
    when = np.zeros(n, "datetime64[s]")
    user = rng.integers(n_users, size=n)
    return Dataset(
        name="market",
        interactions=Interactions.of(user=user, item=item, time=when, n_users=n_users, n_items=n_items),
        users=Vocabulary(np.array([f"u{i:07}" for i in range(n_users)])),
        items=Vocabulary(np.array([f"i{i:07}" for i in range(n_items)])),
    )


def seconds(*works: Callable[[], Any], rounds: int = 5) -> list[float]:
    """The best of some rounds of each, in turns: what the machine does when nothing else disturbs it."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for place, work in enumerate(works):
            began = time.perf_counter()
            work()
            best[place] = min(best[place], time.perf_counter() - began)
    return best


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The peers use all cores and BLAS threads, each in its own way; one thread each is a fair race."""
    with threadpool_limits(1):
        yield


@pytest.mark.usefixtures("one_thread")
def test_ease_fits_as_fast_as_the_bare_lapack_calls() -> None:
    data = market(20_000, 4_000, 600_000)
    likes = training_likes(data, "binary")

    def bare() -> NDArray[np.float32]:
        gram = (likes.T @ likes).toarray()
        gram.flat[:: len(gram) + 1] += 100
        inverse, _ = lapack.spotri(lapack.spotrf(gram, lower=1)[0], lower=1)
        weights: NDArray[np.float32] = np.tril(inverse) + np.tril(inverse, -1).T
        return weights

    least, ours = seconds(bare, lambda: create("ease").fit(data))
    print(f"\nEASE on 4,000 items: {ours:.2f} s, {ours / least:.2f} x the bare LAPACK calls ({least:.2f} s)")
    assert ours < 1.2 * least


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:Method expects CSR")  # implicit's own input to itself
def test_item_knn_fits_as_fast_as_implicit() -> None:
    data = market(30_000, 40_000, 800_000)
    likes = training_likes(data, "binary")
    peer, ours = seconds(
        lambda: CosineRecommender(K=100, num_threads=1).fit(likes, show_progress=False),
        lambda: create("item_knn", neighbours=100).fit(data),
    )
    print(f"\nitem-kNN on 40,000 items: {ours:.1f} s, {ours / peer:.2f} x implicit on one thread ({peer:.1f} s)")
    assert ours < 1.2 * peer


@pytest.mark.usefixtures("one_thread")
def test_als_fits_as_fast_as_implicit() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    data = market(30_000, 40_000, 800_000)
    likes = training_likes(data, "binary")

    def peer() -> None:
        AlternatingLeastSquares(factors=64, iterations=3, random_state=0).fit(likes, show_progress=False)

    theirs, ours = seconds(peer, lambda: create("als", factors=64, iterations=3).fit(data))
    print(f"\nALS, 3 iterations: {ours:.1f} s, {ours / theirs:.2f} x implicit ({theirs:.1f} s)")
    assert ours < 1.2 * theirs


@pytest.mark.usefixtures("one_thread")
def test_lists_are_made_as_fast_as_implicit_makes_them() -> None:
    data = market(30_000, 41_000, 800_000)
    likes = training_likes(data, "binary")
    model = create("als", factors=64, iterations=1).fit(data)
    peer = model._new_solver()  # type: ignore[attr-defined]
    peer.num_threads = 1
    peer.fit(likes, show_progress=False)
    queries = Queries.of(data.interactions, np.arange(30_000))

    def batches() -> None:
        for start in range(0, 30_000, 1_000):
            users = np.arange(start, start + 1_000)
            peer.recommend(users, likes[users], N=20)

    theirs, ours = seconds(batches, lambda: recommend(model, queries, 20), rounds=3)
    print(
        f"\n20 of 41,000 items for 30,000 users by ALS: {30_000 / ours:,.0f} users/s, users folded in; "
        f"implicit {30_000 / theirs:,.0f} users/s"
    )
    assert ours < theirs


def test_blocks_bound_the_memory_whatever_the_number_of_users() -> None:
    data = market(200_000, 20_000, 2_000_000)
    model = create("rp3beta", neighbours=50).fit(data)

    def peak(n_users: int) -> float:
        queries = Queries.of(data.interactions, np.arange(n_users))
        tracemalloc.start()
        lists = recommend(model, queries, 10, block=256)
        high = tracemalloc.get_traced_memory()[1] - lists.items.nbytes - lists.scores.nbytes
        tracemalloc.stop()
        return high / 1e6

    few, many = peak(2_000), peak(40_000)
    print(f"\nserving 2,000 users takes {few:.0f} MB beyond their lists, 40,000 users {many:.0f} MB")
    assert many < 1.2 * few
