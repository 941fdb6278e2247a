"""What every registered model must do. To register a model is to be tested here."""

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from bakeoff.catalogue import lookup
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models import MODELS
from recsys.models.base import Family, Recommender, create, load, save
from recsys.recommend import recommend
from tests.worlds import checkerboard, dataset, random_market

# parameters for a tiny world; a model that is not named here is tested as it comes
PARAMS: dict[str, dict[str, Any]] = {
    "als": {"factors": 4, "alpha": 10.0},
    "bpr": {"factors": 4, "iterations": 200},
    "ials": {"factors": 4},
    "cross_sell": {"pause_hours": 10_000.0},  # its rows are days apart, and so its baskets
    "pure_svd": {"factors": 2},  # with as many as there are items it repeats the history
    "session_knn": {"pause_hours": 10_000.0},
    "biased_mf": {"factors": 8, "patience": 0, "epochs": 30, "learning_rate": 0.05, "regularization": 0.0},
    "neumf": {"factors": 8, "patience": 0, "epochs": 40, "learning_rate": 0.02, "regularization": 0.0},
    "two_tower": {"factors": 8, "hidden": 8, "patience": 0, "epochs": 20, "batch_size": 64, "learning_rate": 0.01},
    "wide_deep": {"factors": 8, "hidden": 16, "patience": 0, "epochs": 30, "batch_size": 64, "learning_rate": 0.01},
    "lightgcn": {"factors": 8, "patience": 0, "epochs": 30},
    "sasrec": {"factors": 8, "n_layers": 1, "patience": 0, "epochs": 12, "batch_size": 8, "learning_rate": 0.03},
    "gru4rec": {"factors": 8, "n_layers": 1, "patience": 0, "epochs": 12, "batch_size": 8, "learning_rate": 0.03},
    "fusion": {"parts": [{"model": "item_knn"}, {"model": "popularity"}], "weights": [1.0, 0.25]},
    "pipeline": {  # the other features count rows, not likes
        "candidates": [{"model": "item_knn"}, {"model": "popularity"}],
        "features": ["origins"],
        "ranker": {"n_trees": 30, "min_leaf": 2, "learning_rate": 0.2},
        "learn_from": {"size": 0.3},
    },
}
IMPERSONAL = {"popularity", "trending"}
# made of other models, popularity among them here
ENSEMBLES = {"fusion", "pipeline", "progressive"}
# they learn from how ratings differ: a world of equal weights says nothing
RATED = {"item_rating_knn", "user_rating_knn"}
# closed forms without a random start: other numbers for the items give the same scores
EQUIVARIANT = [
    "popularity",
    "trending",
    "item_knn",
    "user_knn",
    "rp3beta",
    "session_knn",
    "ease",
    "content",
    *sorted(RATED),
]
# linear in the history: what came last can count more
DECAYING = [name for name in MODELS if "decay" in {f.name for f in dataclasses.fields(lookup(MODELS, name, "model"))}]
# how often they go over the data: models that a watcher can follow
EPOCHS = {"als": "iterations", "bpr": "iterations", "ials": "iterations"} | dict.fromkeys(
    ("biased_mf", "neumf", "two_tower", "wide_deep", "lightgcn", "sasrec", "gru4rec"), "epochs"
)
N_USERS, N_ITEMS = 30, 20
SEARCH = Path(__file__).parents[2] / "configs" / "search"


@pytest.fixture(params=sorted(MODELS))
def make(request: pytest.FixtureRequest) -> Callable[[], Recommender]:
    return lambda: create(request.param, **PARAMS.get(request.param, {}))


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    return random_market(rng, N_USERS, N_ITEMS, weighted=True)


def world(make: Callable[[], Recommender]) -> tuple[Dataset, NDArray[np.int32]]:
    """The checkerboard in the signals that the model reads."""
    return checkerboard(rated=make().name in RATED)


def ask(data: Dataset, users: Any) -> Queries:
    return Queries.of(data.interactions, np.asarray(users))


def same(left: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(left, right, equal_nan=True))


def test_planted_pattern_is_found(make: Callable[[], Recommender]) -> None:
    data, answer = world(make)
    model = make().fit(data)
    first = recommend(model, ask(data, np.arange(20)), 1).items[:, 0]
    if model.name in IMPERSONAL:
        assert (first == answer).mean() <= 0.5  # all items have as many users: it can only guess
    else:
        assert np.array_equal(first, answer)


def test_scores_have_a_row_per_query_and_a_column_per_item(make: Callable[[], Recommender], market: Dataset) -> None:
    scores = make().fit(market).score(ask(market, [3, 3, -1, 0]))
    assert scores.shape == (4, N_ITEMS)
    assert scores.dtype == np.float32
    assert not np.isinf(scores).any()
    assert same(scores[0], scores[1])


def test_no_queries_give_no_rows_but_all_columns(make: Callable[[], Recommender], market: Dataset) -> None:
    assert make().fit(market).score(ask(market, [])).shape == (0, N_ITEMS)


def test_the_same_data_give_the_same_model(make: Callable[[], Recommender], market: Dataset) -> None:
    everyone = ask(market, np.arange(N_USERS))
    assert same(make().fit(market).score(everyone), make().fit(market).score(everyone))


def test_a_second_fit_forgets_the_first(make: Callable[[], Recommender], market: Dataset) -> None:
    other, _ = checkerboard()
    again = make().fit(other).fit(market)
    everyone = ask(market, np.arange(N_USERS))
    assert same(again.score(everyone), make().fit(market).score(everyone))


def test_save_and_load_keep_parameters_and_scores(
    make: Callable[[], Recommender], market: Dataset, tmp_path: Path
) -> None:
    model = make().fit(market)
    save(model, tmp_path / "model")
    back = load(tmp_path / "model")
    assert type(back) is type(model)
    assert back.params() == model.params()
    everyone = ask(market, np.arange(-1, N_USERS))
    assert same(back.score(everyone), model.score(everyone))


def test_state_of_an_unfitted_model_is_refused(make: Callable[[], Recommender], market: Dataset) -> None:
    with pytest.raises(RuntimeError, match="not fitted"):
        make().state()
    with pytest.raises(RuntimeError, match="not fitted"):
        make().score(ask(market, [0]))


def test_state_with_a_missing_a_strange_or_a_misshapen_array_is_refused(
    make: Callable[[], Recommender], market: Dataset
) -> None:
    state = make().fit(market).state()
    name = min(state)
    missing = {key: array for key, array in state.items() if key != name}
    for bad in (missing, state | {"strange": np.zeros(1)}, state | {name: state[name][None]}):
        with pytest.raises(ValueError, match=r"holds|names|must be"):
            make().restore(bad)


def test_nothing_handed_in_is_written_to(make: Callable[[], Recommender], market: Dataset) -> None:
    before = market.fingerprint
    queries = ask(market, np.arange(N_USERS))
    given: list[NDArray[Any]] = [queries.users, queries.indptr, queries.items, queries.weights]
    copies = [array.copy() for array in given]
    for array in (market.interactions.user, market.interactions.item, market.interactions.weight, queries.items):
        array.flags.writeable = False
    make().fit(market).score(queries)
    assert dataclasses.replace(market).fingerprint == before
    assert all(np.array_equal(array, copy) for array, copy in zip(given, copies, strict=True))


def test_scores_do_not_change_when_the_last_answer_is_written_to(
    make: Callable[[], Recommender], market: Dataset
) -> None:
    model, queries = make().fit(market), ask(market, [0, 1])
    first = model.score(queries)
    copy = first.copy()
    if first.flags.writeable:
        first[:] = 0
    assert same(model.score(queries), copy)


def test_anonymous_query_without_history_gets_no_scores_of_its_own(
    make: Callable[[], Recommender], market: Dataset
) -> None:
    model = make().fit(market)
    row = model.score(ask(market, [-1]))[0]
    # either silence, or the same for everybody
    impersonal = model.name in IMPERSONAL or model.name in ENSEMBLES
    assert impersonal or np.isnan(row).all()


def test_user_unknown_in_training_is_served_from_his_history_by_models_that_fold_in(
    make: Callable[[], Recommender],
) -> None:
    data, answer = world(make)
    rows = data.interactions
    model = make().fit(data.keep(rows.where(rows.user != 4)))
    lists = recommend(model, ask(data, [4]), 1)
    if not model.folds_in:
        assert lists.items[0, 0] == -1
    elif model.name not in IMPERSONAL:
        assert lists.items[0, 0] == answer[4]


def without_items(data: Dataset, *items: int) -> Dataset:
    """The data set before these items were first touched."""
    return data.keep(data.interactions.where(~np.isin(data.interactions.item, items)))


def test_item_unknown_in_training_is_never_preferred_to_a_known_one(make: Callable[[], Recommender]) -> None:
    data, _ = world(make)
    past = without_items(data, 6, 7)
    bare = dataclasses.replace(past, item_features=blank(past, 6, 7))
    model = make().fit(bare if make().scores_new_items else past)
    scores = model.score(ask(past, np.arange(20)))
    known = np.delete(scores, [6, 7], axis=1)
    assert not (scores[:, [6, 7]] > np.nanmin(known, axis=1, keepdims=True)).any()
    lists = recommend(model, ask(past, np.arange(20)), 1)
    assert not np.isin(lists.items, [6, 7]).any()


def test_new_item_is_scored_from_its_features_by_models_that_say_so(make: Callable[[], Recommender]) -> None:
    data, _ = world(make)
    past = without_items(data, 6, 7)
    model = make().fit(past)
    even, odd = model.score(ask(past, np.arange(20)))[:, [6, 7]].T
    if model.scores_new_items:
        assert (even[::2] > odd[::2]).all()
        assert (even[1::2] < odd[1::2]).all()
    else:  # no opinion, or the same for both: nothing is known of them
        assert np.array_equal(np.isnan(even), np.isnan(odd))


def blank(data: Dataset, *items: int) -> dict[str, NDArray[Any]]:
    """The item features as they are when nothing is known of these items."""
    columns = {name: values.copy() for name, values in data.item_features.items()}
    for values in columns.values():
        values[list(items)] = "" if values.dtype.kind in "OU" else np.nan
    return columns


def test_one_item_and_one_user_are_enough(make: Callable[[], Recommender]) -> None:
    data = dataset([(0, 0)], n_users=1, n_items=1)
    assert make().fit(data).score(ask(data, [0])).shape == (1, 1)


def test_more_places_than_items_stay_empty(make: Callable[[], Recommender], market: Dataset) -> None:
    lists = recommend(make().fit(market), ask(market, [0, -1]), N_ITEMS + 5)
    assert (lists.items[:, N_ITEMS:] == -1).all()
    chosen = lists.items[0][lists.items[0] >= 0]
    assert len(np.unique(chosen)) == len(chosen)


def test_repeated_rows_are_one_like(make: Callable[[], Recommender]) -> None:
    # every parameter set here counts likes, not weights
    once, _ = world(make)
    twice = once.keep(once.interactions + once.interactions)
    everyone = np.arange(20)
    left = make().fit(once).score(ask(once, everyone))
    right = make().fit(twice).score(ask(twice, everyone))
    assert same(left, right)


def test_without_interactions_there_is_nothing_to_learn(make: Callable[[], Recommender], market: Dataset) -> None:
    with pytest.raises(ValueError, match="it has no interactions"):
        make().fit(market.keep(market.interactions.where(np.zeros(200, dtype=bool))))


def test_weights_of_zero_are_no_likes(make: Callable[[], Recommender]) -> None:
    data = dataset([(0, 0), (1, 1)], n_users=2, n_items=2, weights=[0, 0])
    model = make()
    if model.name == "popularity":
        assert model.fit(data).score(ask(data, [0])).tolist() == [[1, 1]]  # it counts touches
    else:
        with pytest.raises(ValueError, match="no interaction of weight > 0"):
            model.fit(data)


def test_missing_features_are_no_infinite_and_no_lost_scores(make: Callable[[], Recommender], market: Dataset) -> None:
    price, name = np.linspace(1, 9, N_ITEMS), np.array([f"thing {n % 4}" for n in range(N_ITEMS)], object)
    price[::3], name[::4] = np.nan, None
    empty = np.full(N_ITEMS, np.nan)
    holed = dataclasses.replace(market, item_features={"price": price, "title": name, "weight": empty})
    model = make().fit(holed)
    scores = model.score(ask(holed, np.arange(N_USERS)))
    assert not np.isinf(scores).any()
    touched = np.unique(holed.interactions.user)
    assert np.isfinite(scores[touched]).any(axis=1).all()


@pytest.mark.parametrize("item", [-1, N_ITEMS])
def test_history_of_another_vocabulary_is_refused(make: Callable[[], Recommender], market: Dataset, item: int) -> None:
    model = make().fit(market)
    strange = ask(market, [0])
    strange.items[0] = item
    with pytest.raises(ValueError, match="item number"):
        recommend(model, strange, 1)


@pytest.mark.parametrize("name", EQUIVARIANT)
def test_other_item_numbers_give_the_same_scores(name: str, market: Dataset, rng: np.random.Generator) -> None:
    renumbered = rng.permutation(N_ITEMS).astype(np.int32)
    rows = market.interactions
    other = dataclasses.replace(
        market,
        interactions=dataclasses.replace(rows, item=renumbered[rows.item]),
        item_features={name: values[np.argsort(renumbered)] for name, values in market.item_features.items()},
    )
    everyone = np.arange(N_USERS)
    scores = create(name).fit(market).score(ask(market, everyone))
    renamed = create(name).fit(other).score(ask(other, everyone))
    np.testing.assert_allclose(renamed[:, renumbered], scores, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_catalogue_tells_family_source_and_needs(name: str) -> None:
    model = lookup(MODELS, name, "model")
    extras = tomllib.loads((SEARCH.parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert model.family in get_args(Family)
    assert len(model.source) > 5
    assert set(model.needs) <= set(extras)


def test_every_model_has_a_search_space_of_its_own_parameters() -> None:
    for name in sorted(set(MODELS) - ENSEMBLES | {"progressive"}):  # those of the others reach into their parts
        space: dict[str, dict[str, Any]] = yaml.safe_load((SEARCH / f"{name}.yaml").read_text())
        for end in ("low", "high"):
            corner = {key: r["choices"][0] if "choices" in r else r[end] for key, r in space.items()}
            create(name, **corner)


@pytest.mark.parametrize("name", DECAYING)
def test_decay_turns_a_history_to_its_end(name: str, market: Dataset) -> None:
    params = PARAMS.get(name, {})
    data, _ = checkerboard()
    # a history of many even items that ends with an odd one
    rows = [(0, item) for item in range(0, 20, 2)] + [(0, 3)]
    history = ask(dataset(rows, n_users=1, n_items=20), [0])
    flat, decayed = (create(name, **params | {"decay": d}).fit(data).score(history)[0] for d in (1.0, 0.01))
    new_odd = np.setdiff1d(np.arange(1, 20, 2), [3])
    assert np.nan_to_num(flat[::2]).max() > np.nan_to_num(flat[new_odd]).max()
    assert np.nan_to_num(decayed[::2]).max() < np.nan_to_num(decayed[new_odd]).max()


@pytest.mark.parametrize("name", sorted(EPOCHS))
def test_another_seed_gives_another_model(name: str, market: Dataset) -> None:
    everyone = ask(market, np.arange(N_USERS))
    one, two = (create(name, seed=seed, **PARAMS[name]).fit(market).score(everyone) for seed in (0, 1))
    assert not same(one, two)


@pytest.mark.parametrize("name", sorted(EPOCHS))
def test_models_that_learn_in_epochs_can_be_watched(name: str, market: Dataset) -> None:
    everyone = ask(market, np.arange(N_USERS))
    seen: list[tuple[int, NDArray[np.float32]]] = []
    params = PARAMS[name] | {EPOCHS[name]: 3}
    watched = create(name, **params).fit(market, watch=lambda epoch, model: seen.append((epoch, model.score(everyone))))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert not same(seen[0][1], seen[1][1])
    assert same(seen[2][1], watched.score(everyone))
    assert same(create(name, **params).fit(market).score(everyone), watched.score(everyone))


@pytest.mark.parametrize("name", sorted(EPOCHS))
def test_a_watcher_can_stop_the_fit(name: str, market: Dataset) -> None:
    def stop(epoch: int, model: Recommender) -> None:
        raise StopIteration(epoch)

    with pytest.raises(StopIteration, match="1"):
        create(name, **PARAMS[name]).fit(market, watch=stop)
