"""A plan tells everything that is wrong with its experiments before it runs."""

from datetime import UTC, datetime, timedelta
from math import nan
from typing import Any

import pytest

from abtest.assignment.plan import Plan, check, problems_of, salt_of, shares
from abtest.types import Experiment, Layer, Variant

MONDAY = datetime(2025, 1, 6, tzinfo=UTC)
HALVES = (Variant(name="control", weight=0.5), Variant(name="new", weight=0.5))
PAGE = Layer(name="page", salt="page-salt")


def experiment(key: str = "ranker", **fields: Any) -> Experiment:
    return Experiment(**{"key": key, "variants": HALVES, "status": "running", **fields})


def weights(*values: float) -> tuple[Variant, ...]:
    return tuple(Variant(name=f"v{i}", weight=value) for i, value in enumerate(values))


def test_sound_experiments_make_a_plan() -> None:
    plan = Plan([experiment(), experiment("layout", traffic=0.1, starts=MONDAY, ends=MONDAY + timedelta(days=7))])
    assert len(plan) == 2
    assert [e.key for e in plan] == ["ranker", "layout"]
    assert plan.experiments["layout"].traffic == 0.1


def test_empty_plan_is_a_plan() -> None:
    assert len(Plan([])) == 0


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"key": 7}, "experiment 7 has key = 7; expected a string"),
        ({"traffic": "1"}, "experiment 'ranker' has traffic = '1'; expected a number"),
        ({"starts": "2025-01-06"}, "experiment 'ranker' has starts = '2025-01-06'; expected a datetime or None"),
        (
            {"variants": (*HALVES[:1], Variant(name="new", weight="0.5"))},  # type: ignore[arg-type]
            "experiment 'ranker' has variant 1 weight = '0.5'; expected a number",
        ),
        ({"key": " "}, "experiment ' ' has an empty key; give it a name that never changes"),
        ({"unit": ""}, "experiment 'ranker' has an empty unit; say what is assigned, such as 'user'"),
        ({"status": "on"}, "experiment 'ranker' has the status 'on'; expected one of draft, running, stopped, decided"),
        ({"planned_units": 0}, "experiment 'ranker' plans 0 units; expected at least 1"),
        ({"variants": ()}, "experiment 'ranker' has 0 variants; expected 2 to 127, the control first"),
        ({"variants": weights(1.0)}, "experiment 'ranker' has 1 variants"),
        ({"variants": weights(*[1 / 128] * 128)}, "experiment 'ranker' has 128 variants; expected 2 to 127"),
        ({"variants": (*HALVES[:1], *HALVES[:1])}, "experiment 'ranker' has 2 variants named 'control'"),
        ({"variants": (*HALVES[:1], Variant(name="", weight=0.5))}, "experiment 'ranker' has a variant without a name"),
        ({"variants": weights(1.5, -0.5)}, "experiment 'ranker' gives variant 'v1' the weight -0.5"),
        ({"variants": weights(0.5, nan)}, "experiment 'ranker' gives variant 'v1' the weight nan"),
        ({"variants": weights(0.5, 0.4)}, "experiment 'ranker' has weights that sum to 0.9; expected 1"),
        ({"variants": weights(0.5, 0.52)}, "experiment 'ranker' has weights that sum to 1.02; expected 1"),
        ({"variants": weights(0.0, 0.0)}, "experiment 'ranker' has weights that sum to 0; expected 1"),
        ({"traffic": 0.0}, "experiment 'ranker' has traffic 0.0; expected a share above 0 and up to 1"),
        ({"traffic": 1.1}, "experiment 'ranker' has traffic 1.1"),
        ({"traffic": nan}, "experiment 'ranker' has traffic nan"),
        ({"layer": PAGE, "layer_range": (0.5, 0.5)}, "experiment 'ranker' owns the layer range [0.5, 0.5)"),
        ({"layer": PAGE, "layer_range": (-0.1, 0.5)}, "experiment 'ranker' owns the layer range [-0.1, 0.5)"),
        ({"layer": PAGE, "layer_range": (0.5, 1.5)}, "experiment 'ranker' owns the layer range [0.5, 1.5)"),
        ({"layer_range": (0.0, 0.5)}, "experiment 'ranker' owns the range [0.0, 0.5) of no layer"),
        ({"layer": Layer(name="page", salt="")}, "experiment 'ranker' is in a layer with the name 'page' and the salt"),
        ({"layer": Layer(name="page", salt="ranker")}, "experiment 'ranker' shares the salt 'ranker' with its layer"),
        ({"starts": datetime(2025, 1, 6)}, "experiment 'ranker' has starts = 2025-01-06 00:00:00 without a time zone"),
        ({"ends": datetime(2025, 1, 6)}, "experiment 'ranker' has ends = 2025-01-06 00:00:00 without a time zone"),
        ({"starts": MONDAY, "ends": MONDAY}, "experiment 'ranker' ends at 2025-01-06 00:00:00+00:00, not after it"),
    ],
)
def test_each_problem_is_a_sentence(fields: dict[str, Any], problem: str) -> None:
    (found,) = problems_of(experiment(**fields))
    assert found.startswith(problem)
    with pytest.raises(ValueError, match="the plan cannot run: experiment "):
        Plan([experiment(**fields)])


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"'a' has traffic 2; .*'b' has an empty unit; .*'b' has weights that sum to"):
        check([experiment("a", traffic=2), experiment("b", unit="", variants=weights(0.1, 0.1))])


def test_key_names_one_experiment() -> None:
    with pytest.raises(ValueError, match="2 experiments have the key 'ranker'"):
        check([experiment(), experiment(status="archived")])


@pytest.mark.parametrize(
    ("one", "other", "problem"),
    [
        ({"salt": "s"}, {"salt": "s"}, "experiments 'a' and 'b' run at the same time with the salt 's'"),
        ({}, {"salt": "a"}, "experiments 'a' and 'b' run at the same time with the salt 'a'"),
        (
            {"layer": PAGE, "layer_range": (0.0, 0.6)},
            {"layer": PAGE, "layer_range": (0.5, 1.0)},
            r"overlap in the layer 'page': \(0.0, 0.6\) and \(0.5, 1.0\)",
        ),
        (
            {"layer": PAGE},
            {"layer": Layer(name="page", salt="t")},
            "give the layer 'page' the salts 'page-salt' and 't'",
        ),
        ({"layer": PAGE}, {"layer": Layer(name="q", salt="page-salt")}, "the layers would not be independent"),
    ],
)
def test_running_experiments_must_not_clash(one: dict[str, Any], other: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check([experiment("a", **one), experiment("b", **other)])
    # the same two are fine when one of them does not run, or when they never run at the same time
    check([experiment("a", **one), experiment("b", **{**other, "status": "stopped"})])
    check([experiment("a", **one, ends=MONDAY), experiment("b", **other, starts=MONDAY)])


def test_ranges_that_touch_do_not_overlap() -> None:
    check(
        [
            experiment("a", layer=PAGE, layer_range=(0.0, 0.5)),
            experiment("b", layer=PAGE, layer_range=(0.5, 1.0)),
            experiment("c", layer=Layer(name="search", salt="search-salt"), layer_range=(0.0, 1.0)),
        ]
    )


def test_salt_is_the_key_unless_given() -> None:
    assert salt_of(experiment()) == "ranker"
    assert salt_of(experiment(salt="s")) == "s"


def test_shares_are_the_weights_or_the_weights_over_their_sum() -> None:
    exact = (0.1, 0.2, 0.7)
    assert shares(experiment(variants=weights(*exact))) == exact
    assert shares(experiment(variants=weights(0.333, 0.333, 0.333))) == pytest.approx([1 / 3] * 3, abs=1e-12)
    assert sum(shares(experiment(variants=weights(0.5, 0.505)))) == pytest.approx(1, abs=1e-12)
