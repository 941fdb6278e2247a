"""Who takes part: audience, holdout, testers, and who stays when the weights change."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abtest.assignment.assigner import REASONS, Assigner, Assignments, planned
from abtest.assignment.hashing import bucket
from abtest.assignment.plan import Plan, check
from abtest.types import Experiment, Holdout, Layer, Stage, Variant

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
PAGE = Layer(name="page", salt="page-salt")
IDS = np.array([f"user-{i}" for i in range(20_000)])
HELD = Holdout(share=0.1)


def experiment(key: str = "ranker", shares: tuple[float, ...] = (0.5, 0.5), **fields: Any) -> Experiment:
    variants = tuple(Variant(name=f"v{i}", weight=share) for i, share in enumerate(shares))
    return Experiment(**{"key": key, "variants": variants, "status": "running", **fields})


def assigned(one: Experiment, holdout: Holdout | None = None, **columns: Any) -> Assignments:
    return Assigner(Plan([one], holdout)).assign_many(one.key, IDS, MONDAY, columns)


def reasons(found: Assignments) -> set[str]:
    return {REASONS[number] for number in np.unique(found.reason)}


# audience


def test_only_the_audience_takes_part_and_by_the_same_hash() -> None:
    country = np.array(["CA", "US"] * 10_000)
    everybody, found = assigned(experiment()), assigned(experiment(audience={"country": "CA"}), country=country)
    canadians = country == "CA"
    assert (found.variant[canadians] == everybody.variant[canadians]).all()
    assert {REASONS[number] for number in found.reason[~canadians]} == {"audience"}


# holdout


def test_who_is_held_out_takes_part_in_nothing() -> None:
    plan = Plan([experiment("a"), experiment("b", layer=PAGE), experiment("c", traffic=0.3)], HELD)
    assigner = Assigner(plan)
    out = [assigner.assign_many(key, IDS, MONDAY).reason == REASONS.index("holdout") for key in "abc"]
    assert (out[0] == out[1]).all()
    assert (out[0] == out[2]).all()
    assert out[0].tolist() == [bucket("holdout", str(unit)) < 1_000 for unit in IDS]
    alone = assigned(experiment("a"))  # the others stand where they stood
    assert (assigner.assign_many("a", IDS, MONDAY).variant[~out[0]] == alone.variant[~out[0]]).all()


@pytest.mark.parametrize(
    ("holdout", "words"),
    [
        (Holdout(share=1.0), "the holdout has the share 1.0"),
        (Holdout(share=0.1, salt=""), "the holdout has no salt"),
        (Holdout(share=0.1, salt="ranker"), "'ranker' shares the salt 'ranker' with the holdout"),
        (Holdout(share=0.1, salt="page-salt"), "shares the salt 'page-salt' with the holdout"),
    ],
)
def test_a_holdout_that_is_none_is_refused(holdout: Holdout, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check([experiment(layer=PAGE)], holdout)


# testers


@pytest.mark.parametrize(("status", "seen"), [("draft", "v1"), ("running", "v1"), ("stopped", None), ("decided", None)])
def test_a_tester_sees_his_variant_until_it_is_over(status: str, seen: str | None) -> None:
    one = experiment(
        status=status, traffic=0.01, layer=PAGE, layer_range=(0.0, 0.01), audience={"country": "CA"},
        overrides={"user-7": "v1"},
    )  # fmt: skip
    found = Assigner(Plan([one], HELD)).assign("ranker", "user-7", MONDAY)
    assert (found.variant, found.reason) == (seen, "override" if seen else "inactive")
    assert assigned(one, HELD)[7] == found


def test_a_tester_of_no_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="gives the tester 'me' the variant 'v2'; it has 'v0', 'v1'"):
        check([experiment(overrides={"me": "v2"})])


# weights that change


def test_who_takes_part_stays_and_the_new_ones_follow_the_new_weights() -> None:
    before = experiment(shares=(0.5, 0.5), traffic=0.2)
    after = experiment(shares=(0.9, 0.1), traffic=1.0, earlier=(Stage(traffic=0.2, weights=(0.5, 0.5)),))
    old, new = assigned(before), assigned(after)
    was_in = old.variant != -1
    assert (new.variant[was_in] == old.variant[was_in]).all()
    assert (new.variant != -1).all()
    assert (new.variant[~was_in] == 0).mean() == pytest.approx(0.9, abs=0.01)  # 16,000 fixed ids
    assert [v.weight for v in planned(after).variants] == pytest.approx([0.82, 0.18])  # .2 * .5 + .8 * .9
    assert planned(before) is before


stages = st.lists(
    st.tuples(st.floats(0.01, 1), st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any)),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(stages)
def test_no_stage_moves_anybody(made: list[tuple[float, list[int]]]) -> None:
    made = sorted(made, key=lambda stage: stage[0])  # traffic only grows
    told = [Stage(traffic=traffic, weights=tuple(part / sum(parts) for part in parts)) for traffic, parts in made]
    last = None
    for n, stage in enumerate(told):
        found = assigned(experiment(shares=stage.weights, traffic=stage.traffic, earlier=tuple(told[:n])))
        if last is not None:
            assert (found.variant[last != -1] == last[last != -1]).all()
        assert (found.variant != -1).mean() == pytest.approx(stage.traffic, abs=0.015)
        last = found.variant


def test_stages_that_shrink_or_name_other_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="it only grows"):
        check([experiment(traffic=0.1, earlier=(Stage(traffic=0.2, weights=(0.5, 0.5)),))])
    with pytest.raises(ValueError, match="a share for each of 2 variants"):
        check([experiment(earlier=(Stage(traffic=0.2, weights=(1.0,)),))])
    with pytest.raises(ValueError, match=r"had weights that sum to 0\.7"):
        check([experiment(earlier=(Stage(traffic=0.2, weights=(0.5, 0.2)),))])


# all of it together


@settings(deadline=None, max_examples=60)
@given(
    units=st.lists(st.text(min_size=1, max_size=6).map(lambda text: text.rstrip("\0") or "u"), max_size=20),
    share=st.floats(0, 0.5),
    traffic=st.floats(0.3, 1),
    status=st.sampled_from(["running", "running", "draft"]),
    countries=st.lists(st.sampled_from(["CA", "US", None]), min_size=20, max_size=20),
)
def test_many_are_each_alone(
    units: list[str], share: float, traffic: float, status: str, countries: list[str | None]
) -> None:
    one = experiment(
        shares=(0.2, 0.8), traffic=traffic, layer=PAGE, layer_range=(0.0, 0.7), status=status,
        audience={"country": ["CA"]}, overrides=dict.fromkeys(units[::5], "v0"),
        earlier=(Stage(traffic=0.2, weights=(0.5, 0.5)),),
    )  # fmt: skip
    assigner, told = Assigner(Plan([one], Holdout(share=share))), countries[: len(units)]
    many = assigner.assign_many("ranker", units, MONDAY, {"country": told})
    alone = [assigner.assign("ranker", u, MONDAY, {"country": c}) for u, c in zip(units, told, strict=True)]
    assert [many[row] for row in range(len(units))] == alone
