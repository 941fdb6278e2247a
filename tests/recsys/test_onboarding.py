"""Onboarding on a world whose tastes are planted, and against regressions by scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from bakeoff.bootstrap import paired
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.sources.movielens import load
from recsys.evaluate import score_recommendations
from recsys.hybrid.cold import Progressive
from recsys.metrics.judged import Truth
from recsys.models.ials import IALS
from recsys.models.popularity import Popularity
from recsys.onboarding import _tastes, answered, questions
from recsys.recommend import recommend
from tests.worlds import dataset, random_market

GROUPS, PER_GROUP, EVERYBODY = 4, 6, 5
N_ITEMS = EVERYBODY + GROUPS * PER_GROUP


@pytest.fixture(scope="module")
def tribes() -> tuple[Dataset, NDArray[np.int64]]:
    """200 users of four tribes. Items 0..4 nearly everybody likes; then six of each tribe, the first the best known."""
    rng = np.random.default_rng(11)
    tribe = np.arange(200) % GROUPS
    chance = np.full((200, N_ITEMS), 0.02)
    chance[:, :EVERYBODY] = 0.95
    for group in range(GROUPS):
        first = EVERYBODY + group * PER_GROUP
        chance[tribe == group, first : first + PER_GROUP] = np.linspace(0.9, 0.4, PER_GROUP)
    pairs = np.argwhere(rng.random(chance.shape) < chance)
    return dataset(pairs[rng.permutation(len(pairs))], n_users=200, n_items=N_ITEMS), tribe


def group_of(items: NDArray[np.int32]) -> list[int]:
    return ((items - EVERYBODY) // PER_GROUP).tolist()


def test_the_best_known_item_of_each_tribe_is_asked_and_never_what_everybody_likes(
    tribes: tuple[Dataset, NDArray[np.int64]],
) -> None:
    data, _ = tribes
    asked = questions(data, GROUPS)
    assert (asked.items >= EVERYBODY).all()
    assert len(set(group_of(asked.items[:3]))) == 3  # the fourth tribe is whoever says no to all three
    assert (np.diff(asked.explained) > 0).all()
    assert asked.explained[2] > 0.4


def test_three_answers_tell_the_tribe(tribes: tuple[Dataset, NDArray[np.int64]]) -> None:
    data, tribe = tribes
    liked = data.interactions.csr().toarray() > 0
    told = {}
    for method in ("variance", "entropy"):
        items = questions(data, 3, method=method).items
        code = liked[:, items] @ np.array([1, 2, 4])
        # the majority tribe of each pattern of answers
        told[method] = np.mean([np.bincount(tribe[code == c]).max() for c in code] / np.bincount(code)[code])
    popular = np.argsort(-data.interactions.item_users)[:3]
    code = liked[:, popular] @ np.array([1, 2, 4])
    guessed = np.mean([np.bincount(tribe[code == c]).max() for c in code] / np.bincount(code)[code])
    assert told["variance"] > 0.8
    assert told["variance"] >= told["entropy"]
    assert guessed < 0.45


def test_what_is_explained_is_that_of_a_regression(rng: np.random.Generator) -> None:
    data = random_market(rng, 60, 25, 700)
    asked = questions(data, 5, factors=4)
    likes = data.interactions.csr()
    likes.data[:] = 1.0
    active = np.diff(likes.indptr) > 0
    tastes = _tastes(likes[active], 4, 0)
    answers = likes[active].toarray()
    for n in range(1, 6):
        fitted = LinearRegression().fit(answers[:, asked.items[:n]], tastes)
        left = tastes - fitted.predict(answers[:, asked.items[:n]])
        assert asked.explained[n - 1] == pytest.approx(1 - (left**2).sum() / (tastes**2).sum(), abs=1e-6)
    # and no other first question explains more
    shares = []
    for item in range(25):
        fitted = LinearRegression().fit(answers[:, [item]], tastes)
        shares.append(1 - ((tastes - fitted.predict(answers[:, [item]])) ** 2).sum() / (tastes**2).sum())
    assert int(np.argmax(shares)) == asked.items[0]


def test_entropy_is_highest_for_what_half_of_the_people_like() -> None:
    pairs = [(u, 0) for u in range(40)] + [(u, 1) for u in range(20)] + [(u, 2) for u in range(3)]
    data = dataset(pairs, n_users=40, n_items=3)
    assert questions(data, 2, method="entropy").items.tolist() == [1, 2]


def test_the_answers_are_a_history_like_any_other(tribes: tuple[Dataset, NDArray[np.int64]]) -> None:
    data, _ = tribes
    # without content: the parity of the number is no taste here
    model = Progressive(content=None, collaborative={"model": "ials", "params": {"factors": 8}}).fit(data)
    for group in range(GROUPS):
        item = EVERYBODY + group * PER_GROUP
        query = answered(np.array([item]), np.datetime64("2025-01-01T00:00:00"))
        first = recommend(model, query, EVERYBODY + 3).items[0]
        own = [i for i in first.tolist() if i >= EVERYBODY]
        assert own
        assert set(group_of(np.array(own))) == {group}
    nobody = recommend(model, answered(np.array([], np.int32), np.datetime64("2025-01-01T00:00:00")), 3)
    assert (nobody.items < EVERYBODY).all()


def test_the_same_seed_asks_the_same_of_a_sample(rng: np.random.Generator) -> None:
    data = random_market(rng, 300, 40, 3_000)
    one, two = (questions(data, 4, most_users=50, seed=2) for _ in range(2))
    assert np.array_equal(one.items, two.items)
    assert len(set(one.items.tolist())) == 4


def test_more_questions_than_items_are_refused(rng: np.random.Generator) -> None:
    data = dataset([(0, 0), (1, 1)], n_users=2, n_items=5)
    with pytest.raises(ValueError, match=r"k = 3 questions need .* got 2"):
        questions(data, 3)
    with pytest.raises(ValueError, match="method must be one of"):
        questions(data, 1, method="popular")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k must be an integer >= 1"):
        questions(data, 0)


@pytest.mark.real_data
@pytest.mark.slow
def test_ten_answers_of_real_newcomers_are_worth_more_when_the_questions_split_tastes(data_folder: Path) -> None:
    """A quarter of the users are newcomers who tell which of the ten films they know; measured .51 against .43."""
    data = load(folder=data_folder / "ml-latest-small").dataset
    rows = data.interactions
    newcomers = np.isin(rows.user, np.random.default_rng(0).permutation(rows.n_users)[: rows.n_users // 4])
    known = data.keep(rows.where(~newcomers))
    asked = {method: questions(known, 10, method=method).items for method in ("variance", "entropy")}
    banned = np.unique(np.concatenate(list(asked.values())))
    later = rows.where(newcomers & ~np.isin(rows.item, banned))
    model = IALS(factors=32, regularization=0.01, unobserved=0.1, iterations=8).fit(known)
    popular, found = Popularity().fit(known), {}
    for method, items in asked.items():
        told = rows.where(newcomers & np.isin(rows.item, items))
        truth = Truth.of(later, told)
        lists = recommend(model, Queries.of(told, truth.users), 10, fallback=popular, banned=banned)
        card = score_recommendations(lists, truth, seen=known.keep(told), ks=(10,), metrics=["ndcg"])
        found[method] = card.values["ndcg_10"]
    assert paired(found["variance"], found["entropy"], rng=np.random.default_rng(0)).low > 0
