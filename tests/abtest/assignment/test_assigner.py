"""The assigner: GrowthBook's ranges, one answer for one and for many, and the laws of a fair experiment."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from abtest.assignment.assigner import Assigner, Assignments
from abtest.assignment.hashing import bucket
from abtest.assignment.plan import Plan
from abtest.types import Assignment, Experiment, Layer, Variant

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
PAGE = Layer(name="page", salt="page-salt")
IDS = np.array([f"user-{i}" for i in range(20_000)])


def experiment(key: str = "ranker", shares: tuple[float, ...] = (0.5, 0.5), **fields: Any) -> Experiment:
    variants = tuple(Variant(name=f"v{i}", weight=share) for i, share in enumerate(shares))
    return Experiment(**{"key": key, "variants": variants, "status": "running", **fields})


def assigned(one: Experiment, at: datetime = MONDAY) -> Assignments:
    return Assigner(Plan([one])).assign_many(one.key, IDS, at)


# hand-computed


def test_published_bucket_lands_in_its_range() -> None:
    # GrowthBook's own case: seed feature-exp, weights .3334/.3333/.3333; d123 is at .6468, i123 at .9943
    assigner = Assigner(Plan([experiment(salt="feature-exp", shares=(0.3334, 0.3333, 0.3333))]))
    assert assigner.assign("ranker", "d123", MONDAY) == Assignment(
        unit="d123", experiment="ranker", variant="v1", bucket=6468, reason="split"
    )
    assert assigner.assign("ranker", "i123", MONDAY).variant == "v2"


@pytest.mark.parametrize(
    ("shares", "traffic", "ranges"),
    [  # GrowthBook's published getBucketRange cases, in buckets
        ((0.5, 0.5), 1.0, [(0, 5000), (5000, 10_000)]),
        ((0.5, 0.5), 0.5, [(0, 2500), (5000, 7500)]),
        ((0.25,) * 4, 1.0, [(0, 2500), (2500, 5000), (5000, 7500), (7500, 10_000)]),
        ((0.4, 0.6), 1.0, [(0, 4000), (4000, 10_000)]),
        # one bucket more than .04: in the floats of every SDK .2 * .2 is .04000000000000001, and we follow them
        ((0.2, 0.3, 0.5), 0.2, [(0, 401), (2000, 2600), (5000, 6000)]),
    ],
)
def test_ranges_are_the_published_ones(
    shares: tuple[float, ...], traffic: float, ranges: list[tuple[int, int]]
) -> None:
    ids = np.array([f"{i}" for i in range(200_000)])  # enough to fill all 10,000 buckets
    one = experiment(shares=shares, traffic=traffic)
    found = Assigner(Plan([one])).assign_many("ranker", ids, MONDAY)
    assert len(np.unique(found.bucket)) == 10_000
    for number, (start, end) in enumerate(ranges):
        assert np.unique(found.bucket[found.variant == number]).tolist() == list(range(start, end))
    outside = found.variant == -1
    assert (found.reason[outside] == 1).all()
    assert (found.reason[~outside] == 0).all()


# when an experiment answers


@pytest.mark.parametrize("status", ["draft", "stopped", "decided", "archived"])
def test_only_running_experiments_assign(status: str) -> None:
    one = experiment(status=status)
    assert Assigner(Plan([one])).assign("ranker", "u", MONDAY) == Assignment(
        unit="u", experiment="ranker", variant=None, bucket=-1, reason="inactive"
    )
    assert set(assigned(one).reason.tolist()) == {3}


def test_start_is_included_and_end_is_not() -> None:
    one = experiment(starts=MONDAY, ends=MONDAY + timedelta(days=7))
    assigner, tick = Assigner(Plan([one])), timedelta(microseconds=1)
    times = [MONDAY - tick, MONDAY, MONDAY + timedelta(days=7) - tick, MONDAY + timedelta(days=7)]
    assert [assigner.assign("ranker", "u", at).reason for at in times] == ["inactive", "split", "split", "inactive"]
    assert [assigner.assign_many("ranker", ["u"], at)[0].reason for at in times] == [
        assigner.assign("ranker", "u", at).reason for at in times
    ]


def test_time_is_compared_across_zones() -> None:
    assigner = Assigner(Plan([experiment(starts=MONDAY)]))
    tokyo = timezone(timedelta(hours=9))
    assert assigner.assign("ranker", "u", datetime(2025, 1, 6, 8, 59, tzinfo=tokyo)).reason == "inactive"
    assert assigner.assign("ranker", "u", datetime(2025, 1, 6, 9, 0, tzinfo=tokyo)).reason == "split"


# laws


ids = st.lists(st.text(min_size=1, max_size=10).map(lambda text: text.rstrip("\0") or "u"), max_size=30)


@given(
    units=ids,
    traffic=st.floats(0.01, 1),
    first=st.floats(0.05, 0.95),
    layer_range=st.tuples(st.floats(0, 0.4), st.floats(0.5, 1)),
    status=st.sampled_from(["running", "running", "stopped"]),
)
def test_many_are_each_alone(
    units: list[str], traffic: float, first: float, layer_range: tuple[float, float], status: str
) -> None:
    one = experiment(
        shares=(first, 1 - first), traffic=traffic, layer=PAGE, layer_range=layer_range, status=status, salt="s"
    )
    assigner = Assigner(Plan([one]))
    many = assigner.assign_many("ranker", units, MONDAY)
    assert len(many) == len(units)
    assert [many[row] for row in range(len(units))] == [assigner.assign("ranker", unit, MONDAY) for unit in units]


@given(st.lists(st.integers(1, 100), min_size=2, max_size=6), st.floats(0.05, 1), st.floats(0.05, 1))
def test_growing_the_traffic_moves_nobody(parts: list[int], one: float, other: float) -> None:
    shares = tuple(part / sum(parts) for part in parts)
    small = assigned(experiment(shares=shares, traffic=min(one, other)))
    large = assigned(experiment(shares=shares, traffic=max(one, other)))
    took_part = small.variant != -1
    assert (large.variant[took_part] == small.variant[took_part]).all()


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5), (0.333, 0.333, 0.333), (1.0, 0.0)])
@pytest.mark.parametrize("traffic", [1.0, 0.3])
def test_weights_and_traffic_are_respected(shares: tuple[float, ...], traffic: float) -> None:
    """A fixed sample: a binomial count stays within 4 standard deviations (chance .0006 over the 24 counts)."""
    found = assigned(experiment(shares=shares, traffic=traffic))
    for number, share in enumerate(np.array(shares) / sum(shares)):
        # to the edge of a bucket: shares are honoured to 1/10,000
        expected, n = share * traffic, len(IDS)
        deviation = np.sqrt(expected * (1 - expected) * n) * 4 + 1e-4 * n
        assert abs((found.variant == number).sum() - expected * n) <= deviation


def test_experiments_of_a_layer_exclude_each_other_and_share_it_out() -> None:
    plan = Plan(
        [
            experiment("a", layer=PAGE, layer_range=(0.0, 0.3)),
            experiment("b", layer=PAGE, layer_range=(0.3, 0.5)),
            experiment("c", layer=PAGE, layer_range=(0.5, 1.0), traffic=0.5),
        ]
    )
    assigner = Assigner(plan)
    owners = np.array([assigner.assign_many(key, IDS, MONDAY).reason != 2 for key in "abc"])
    assert (owners.sum(axis=0) == 1).all()
    in_a = [0 <= bucket("page-salt", str(unit)) < 3000 for unit in IDS]
    assert owners[0].tolist() == in_a


def test_variants_within_a_layer_range_keep_their_weights() -> None:
    found = assigned(experiment(layer=PAGE, layer_range=(0.0, 0.2)))
    took_part = found.variant[found.variant != -1]
    # fixed ids: a fair split of some 4,000 units
    assert stats.binomtest(int(took_part.sum()), len(took_part), 0.5).pvalue > 0.001


def test_experiments_are_independent() -> None:
    """Every pair of 20 experiments on 20,000 fixed ids: the 190 chi-squares of independence look like chance."""
    variants = np.array([assigned(experiment(f"experiment-{e}")).variant for e in range(20)])
    p_values = [
        stats.chi2_contingency(np.histogram2d(variants[i], variants[j], bins=2)[0], correction=False).pvalue
        for i in range(20)
        for j in range(i)
    ]
    assert min(p_values) > 1e-5  # chance .002 for independent splits
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_same_question_same_answer() -> None:
    one = experiment()
    assert assigned(one).variant.tolist() == assigned(one).variant.tolist()
    assert assigned(experiment(salt="other")).variant.tolist() != assigned(one).variant.tolist()


# bad questions


def test_unknown_experiment_is_answered_with_the_nearest() -> None:
    assigner = Assigner(Plan([experiment()]))
    for ask in (assigner.assign, assigner.assign_many):
        with pytest.raises(LookupError, match="unknown experiment 'rankr'; did you mean 'ranker'"):
            ask("rankr", "u", MONDAY)


@pytest.mark.parametrize("unit", ["", "u\0", None, 7])
def test_unit_without_an_id_is_refused(unit: Any) -> None:
    assigner = Assigner(Plan([experiment()]))
    with pytest.raises(ValueError, match="a unit must be a non-empty string"):
        assigner.assign("ranker", unit, MONDAY)
    with pytest.raises(ValueError, match=r"(unit|value) 1 "):
        assigner.assign_many("ranker", ["u", unit], MONDAY)


def test_time_without_a_zone_is_refused() -> None:
    assigner = Assigner(Plan([experiment()]))
    with pytest.raises(ValueError, match="at must have a time zone"):
        assigner.assign("ranker", "u", datetime(2025, 1, 6))
    with pytest.raises(ValueError, match="at must have a time zone"):
        assigner.assign_many("ranker", ["u"], datetime(2025, 1, 6))


def test_no_units_have_no_assignments() -> None:
    assert len(Assigner(Plan([experiment()])).assign_many("ranker", [], MONDAY)) == 0
