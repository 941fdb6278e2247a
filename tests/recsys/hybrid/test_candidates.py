import numpy as np
import pytest

from recsys.data.queries import Queries
from recsys.hybrid.candidates import Candidates, check_sources, gather, origin_names
from recsys.models.base import create
from recsys.recommend import recommend
from tests.worlds import checkerboard, random_market


@pytest.fixture
def gathered(rng: np.random.Generator) -> tuple[Candidates, list[np.ndarray]]:
    """The candidates of ten users by two models, and the two lists that they come from."""
    data = random_market(rng)
    models = [create("item_knn").fit(data), create("popularity").fit(data)]
    queries = Queries.of(data.interactions, np.array([*range(9), -1]))
    touched = data.interactions.item_users > 0
    found = gather(models, [4, 6], queries, origins=("item_knn", "popularity"), touched=touched)
    return found, [recommend(model, queries, m).items for model, m in zip(models, (4, 6), strict=True)]


def test_candidates_are_the_union_of_the_lists_each_item_once(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, lists = gathered
    for query in range(len(found)):
        named = {int(item) for part in lists for item in part[query] if item >= 0}
        items = found.items[found.indptr[query] : found.indptr[query + 1]]
        assert items.tolist() == sorted(named)


def test_ranks_are_the_places_in_the_lists_and_nan_elsewhere(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, lists = gathered
    for place, (query, item) in enumerate(zip(found.query, found.items, strict=True)):
        for origin, part in enumerate(lists):
            where = np.flatnonzero(part[query] == item)
            rank, score = found.ranks[place, origin], found.scores[place, origin]
            assert np.isnan(score) == np.isnan(rank) == (len(where) == 0)
            if len(where):
                assert rank == where[0] + 1


def test_a_block_is_what_its_queries_alone_have(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, _ = gathered
    part = found.block(3, 7)
    assert len(part) == 4
    assert part.query.tolist() == [query - 3 for query in found.query.tolist() if 3 <= query < 7]
    kept = (found.query >= 3) & (found.query < 7)
    for name in ("items", "ranks", "scores", "fused"):
        np.testing.assert_array_equal(getattr(part, name), getattr(found, name)[kept])
    assert len(found.block(10, 10).items) == 0


def test_a_silent_source_has_no_say(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, _ = gathered  # the last query is anonymous: only popularity has an answer
    own = slice(found.indptr[9], found.indptr[10])
    assert np.isnan(found.ranks[own, 0]).all()
    assert not np.isnan(found.ranks[own, 1]).any()


def test_the_fused_score_is_the_sum_of_reciprocal_ranks(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, _ = gathered
    by_hand = [sum(1 / (60 + rank) for rank in row if rank == rank) for row in found.ranks]
    np.testing.assert_allclose(found.fused, by_hand, rtol=1e-6)


def test_where_keeps_queries_and_order(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, _ = gathered
    kept = found.where(found.items % 2 == 0)
    assert len(kept) == len(found)
    assert (kept.items % 2 == 0).all()
    assert kept.query.tolist() == found.query[found.items % 2 == 0].tolist()


def test_what_nobody_touched_is_named_only_by_models_that_score_new_items() -> None:
    data, _ = checkerboard()
    past = data.keep(data.interactions.where(data.interactions.item != 6))
    queries = Queries.of(past.interactions, np.arange(20))
    touched = past.interactions.item_users > 0
    for name, expected in (("popularity", False), ("content", True)):
        found = gather([create(name).fit(past)], [20], queries, origins=(name,), touched=touched)
        assert (found.items == 6).any() == expected


def test_a_source_that_names_nothing_is_refused(gathered: tuple[Candidates, list[np.ndarray]]) -> None:
    found, _ = gathered
    silent = Candidates(
        origins=("item_knn", "quiet"),
        indptr=found.indptr,
        items=found.items,
        ranks=np.column_stack([found.ranks[:, 0], np.full(len(found.items), np.nan)]),
        scores=found.scores,
    )
    check_sources(found, "market")
    with pytest.raises(ValueError, match="'quiet' returns nothing for any of the 10 queries of 'market'"):
        check_sources(silent, "market")


def test_a_second_source_of_one_model_has_a_name_of_its_own() -> None:
    assert origin_names(["ease", "als", "als", "als"]) == ("ease", "als", "als_2", "als_3")
