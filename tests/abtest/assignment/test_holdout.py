"""The holdout as an experiment: two arms of one size, the first of them those who are held out, both nested."""

from datetime import UTC, datetime

import numpy as np
import pytest

from abtest.assignment.assigner import REASONS, Assigner
from abtest.assignment.hashing import bucket
from abtest.assignment.holdout import EVERYBODY, HELD_OUT, KEY, as_experiment, companion
from abtest.assignment.plan import Plan
from abtest.types import Experiment, Exposure, Holdout, Variant

NOW = datetime(2025, 1, 6, tzinfo=UTC)
UNITS = [f"u{n}" for n in range(20_000)]
ANY = Experiment(
    key="any", variants=(Variant(name="a", weight=0.5), Variant(name="b", weight=0.5)), status="running"
)  # fmt: skip


def arms(holdout: Holdout) -> tuple[set[str], set[str]]:
    made = as_experiment(holdout)
    assert made is not None
    found = Assigner(Plan([made])).assign_many(KEY, UNITS, NOW)
    assert found.variants == (HELD_OUT, EVERYBODY)
    held, others = (set(np.array(UNITS)[found.variant == number].tolist()) for number in (0, 1))
    return held, others


@pytest.mark.parametrize("share", [0.0007, 0.05, 0.07, 1 / 3, 0.5, 0.8])
def test_held_out_is_who_takes_part_in_nothing(share: float) -> None:
    holdout = Holdout(share=share)
    elsewhere = Assigner(Plan([ANY], holdout)).assign_many("any", UNITS, NOW)
    outside = elsewhere.reason == REASONS.index("holdout")
    assert arms(holdout)[0] == set(np.array(UNITS)[outside].tolist())


def test_both_arms_hold_as_many_buckets_whatever_the_share() -> None:
    one_of_each = {bucket("holdout", f"x{n}"): f"x{n}" for n in range(150_000)}
    assert len(one_of_each) == 10_000
    units = [one_of_each[number] for number in range(10_000)]
    for share in np.arange(1, 5_001, 7) / 10_000:
        made = as_experiment(Holdout(share=float(share)))
        assert made is not None
        variant = Assigner(Plan([made])).assign_many(KEY, units, NOW).variant
        assert (variant == 0).sum() == (variant == 1).sum() == round(share * 10_000)


def test_who_is_in_an_arm_of_less_was_in_it_before() -> None:
    before, after = arms(Holdout(share=0.2)), arms(Holdout(share=0.05))
    assert after[0] < before[0]
    assert after[1] < before[1]
    assert not before[0] & before[1]


def test_nobody_held_out_is_no_experiment() -> None:
    assert as_experiment(None) is as_experiment(Holdout(share=0.0)) is None


def test_a_slate_s_second_row_follows_from_the_first() -> None:
    shown = Exposure(id="x1", unit="u", experiment="any", variant="a", at=NOW, items=("i",), scores=(1.0,))
    made = companion(shown, EVERYBODY)
    assert (made.id, made.experiment, made.variant, made.items) == ("x1:holdout", KEY, EVERYBODY, ("i",))
    assert companion(shown, EVERYBODY) == made
