"""Events to a readout: against plain pandas, with a planted lift, and with everything that real logs get wrong."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from abtest.analysis.analyse import analyse, analyse_units
from abtest.events.log import EXPOSURES, OUTCOMES
from abtest.statistics import METHODS
from abtest.statistics.moments import Moments
from abtest.types import Experiment, Metric, Readout, Variant
from bakeoff.catalogue import lookup
from tests.abtest.analysis.worlds import (
    AS_OF,
    METRICS,
    START,
    Events,
    events,
    experiment,
    exposure,
    make_world,
    naive_columns,
    naive_units,
    outcome,
)

CLICKS = (Metric(name="clicks", kind="mean", numerator="click", role="primary"),)


def read(world: Events, known: tuple[Metric, ...] = CLICKS, as_of: datetime = AS_OF, **changes: Any) -> Readout:
    return analyse(experiment(**changes), known, world.exposures, world.outcomes, as_of=as_of)


def mean(readout: Readout, variant: str, metric: str = "clicks") -> float:
    return next(s.mean[0] for s in readout.samples if (s.metric, s.variant) == (metric, variant))


@pytest.fixture(scope="module")
def readout(world: Events) -> Readout:
    return read(world, METRICS)


def test_moments_are_those_of_plain_numpy(world: Events, readout: Readout) -> None:
    units = naive_units(world)
    for sample in readout.samples:
        metric = next(m for m in METRICS if m.name == sample.metric)
        expected = Moments.of(sample.columns, naive_columns(units[units.variant == sample.variant], metric))
        assert sample.units == expected.n
        np.testing.assert_allclose(sample.mean, expected.mean, rtol=1e-12)
        np.testing.assert_allclose(sample.comoment, expected.comoment, rtol=1e-11, atol=1e-9)


def test_effects_are_the_methods_of_those_moments(world: Events, readout: Readout) -> None:
    units = naive_units(world)
    for comparison in readout.effects:
        metric = comparison.metric
        columns = ("numerator", "denominator")[: 1 + (metric.denominator is not None)]
        arms = [Moments.of(columns, naive_columns(units[units.variant == v], metric)) for v in ("control", "treatment")]
        expected = lookup(METHODS, metric.kind, "method")(*arms, 0.95)
        assert comparison.effect.p_value == pytest.approx(expected.p_value, rel=1e-8)
        assert comparison.effect.relative_ci == pytest.approx(expected.relative_ci, rel=1e-8)


def test_each_day_is_the_analysis_of_all_data_up_to_its_end(world: Events, readout: Readout) -> None:
    days = sorted({comparison.day for comparison in readout.daily})
    assert [day - days[0] for day in days] == [timedelta(days=i) for i in range(len(days))]
    for i in (0, 3, len(days) - 1):
        evening = datetime(days[i].year, days[i].month, days[i].day, 23, 59, 59, 999_999, tzinfo=UTC)
        # units that will see a second variant later are known by now, and are left out of every day
        units = naive_units(world, evening)
        for comparison in readout.daily:
            if comparison.day == days[i]:
                columns = naive_columns(units[units.variant == "treatment"], comparison.metric)
                expected = columns[:, 0].mean() / (columns[:, 1].mean() if columns.shape[1] == 2 else 1.0)
                assert comparison.effect.treatment == pytest.approx(expected, rel=1e-9)


def test_the_last_day_agrees_with_the_whole_but_for_the_wider_interval(readout: Readout) -> None:
    for comparison in readout.effects:
        last = [c for c in readout.daily if c.metric == comparison.metric][-1]
        assert last.effect.absolute == pytest.approx(comparison.effect.absolute, rel=1e-9, abs=1e-12)
        # the variance of a share is over n, that of its confidence sequence over n - 1
        tolerance = 1 / 480 if comparison.metric.kind == "proportion" else 1e-9
        assert last.effect.se == pytest.approx(comparison.effect.se, rel=tolerance)
        assert last.effect.ci[0] < comparison.effect.ci[0]
        assert last.effect.ci[1] > comparison.effect.ci[1]
        assert "always valid" in last.effect.method


def test_a_second_run_gives_the_same_to_twelve_digits(world: Events, readout: Readout) -> None:
    again = read(world, METRICS)
    for one, other in zip(readout.samples, again.samples, strict=True):
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12)
        np.testing.assert_allclose(one.comoment, other.comoment, rtol=1e-12)


def test_the_order_of_the_rows_changes_nothing(world: Events, readout: Readout, rng: np.random.Generator) -> None:
    mixed = [table.take(rng.permutation(table.num_rows)) for table in (world.exposures, world.outcomes)]
    again = analyse(experiment(), METRICS, mixed[0], mixed[1], as_of=AS_OF)
    for one, other in zip(readout.samples, again.samples, strict=True):
        np.testing.assert_allclose(one.comoment, other.comoment, rtol=1e-11)


def test_a_planted_lift_is_recovered() -> None:
    readout = read(make_world(3_000, lift=0.3, seed=2), METRICS)
    ctr = next(c.effect for c in readout.effects if c.metric.name == "ctr")
    assert ctr.relative_ci[0] < 0.3 < ctr.relative_ci[1]
    assert ctr.relative == pytest.approx(0.3, abs=0.08)
    assert ctr.p_value < 1e-6


def test_no_lift_is_not_found(readout: Readout) -> None:
    ctr = next(c.effect for c in readout.effects if c.metric.name == "ctr")
    assert ctr.relative_ci[0] < 0.0 < ctr.relative_ci[1]


def test_arms_and_faults_are_counted(readout: Readout) -> None:
    assert [(arm.variant, arm.share, arm.units) for arm in readout.arms] == [
        ("control", 0.5, 480),
        ("treatment", 0.5, 500),
    ]
    assert readout.multi_variant_units == 20
    assert not readout.srm.alarm
    said = " ".join(readout.warnings)
    assert "20 units (2.00%) saw more than one variant" in said
    assert "80 outcomes that came before their unit's first exposure" in said  # 100 less those of the 20 left out
    assert "100 outcomes that belong to units that were never exposed" in said
    assert "planned sample is not reached: 980 of 1,000" in said
    assert "stale: the last event is 15.3 days older" in said


def test_parquet_folders_and_ibis_tables_say_what_arrow_tables_say(world: Events, tmp_path: Path) -> None:
    for name, table in (("exposures", world.exposures), ("outcomes", world.outcomes)):
        for part in range(2):
            folder = tmp_path / name / f"day={part}"
            folder.mkdir(parents=True)
            pq.write_table(table.slice(part * 500, 500 if part == 0 else None), folder / "part.parquet")
    connection = ibis.duckdb.connect()
    tables = [connection.create_table(n, obj=t) for n, t in (("e", world.exposures), ("o", world.outcomes))]
    expected = read(world)
    for exposures, outcomes in ((tmp_path / "exposures", str(tmp_path / "outcomes")), tables):
        found = analyse(experiment(), CLICKS, exposures, outcomes, as_of=AS_OF)
        assert found.effects[0].effect.p_value == pytest.approx(expected.effects[0].effect.p_value, rel=1e-9)
        assert found.warnings == expected.warnings


def test_outcomes_count_from_the_first_exposure_on() -> None:
    shown = [exposure("a", "control", 10), exposure("a", "control", 20), exposure("b", "treatment", 10)]
    done = [outcome("a", "click", 9.99), outcome("a", "click", 10), outcome("a", "click", 15), outcome("b", "click", 5)]
    readout = read(events(shown, done))
    assert (mean(readout, "control"), mean(readout, "treatment")) == (2.0, 0.0)


def test_events_after_as_of_are_not_known_yet() -> None:
    shown = [exposure("a", "control", 1), exposure("b", "treatment", 1), exposure("c", "control", 30)]
    done = [outcome("a", "click", 2), outcome("a", "click", 3), outcome("a", "click", 3.01)]
    readout = read(events(shown, done), as_of=START + timedelta(hours=3))
    assert mean(readout, "control") == 2.0
    assert readout.arms[0].units == 1


def test_only_the_period_of_the_experiment_counts() -> None:
    shown = [exposure("a", "control", -5), exposure("a", "control", 1), exposure("b", "treatment", 60)]
    done = [outcome("a", "click", -4), outcome("a", "click", 2), outcome("a", "click", 48)]
    readout = read(events(shown, done), starts=START, ends=START + timedelta(hours=48))
    assert mean(readout, "control") == 1.0
    assert [arm.units for arm in readout.arms] == [1, 0]
    assert "2 exposures outside the experiment's period were left out." in readout.warnings


def test_a_cap_holds_for_the_whole_unit_on_every_day() -> None:
    capped = (Metric(name="clicks", kind="mean", numerator="buy.value", cap=10.0),)
    shown = [exposure("a", "control", 1), exposure("b", "control", 1), exposure("c", "treatment", 1)]
    done = [outcome("a", "buy", 2, 7.0), outcome("a", "buy", 30, 7.0), outcome("b", "buy", 3, 1.0)]
    readout = read(events(shown, done), capped)
    assert mean(readout, "control") == 5.5
    assert [comparison.effect.control for comparison in readout.daily] == pytest.approx([4.0, 5.5])


def test_other_experiments_and_other_kinds_do_not_count() -> None:
    shown = [exposure("a", "control", 1), exposure("a", "treatment", 1, experiment="else", id="x")]
    readout = read(events(shown, [outcome("a", "view", 2), outcome("a", "click", 2)]))
    assert mean(readout, "control") == 1.0
    assert readout.multi_variant_units == 0


def test_a_variant_that_was_never_defined_is_counted_and_left_out() -> None:
    shown = [exposure("a", "control", 1), exposure("a", "ghost", 2), exposure("b", "treatment", 1)]
    readout = read(events(shown, []))
    assert readout.arms[0].units == 1
    assert readout.multi_variant_units == 0
    assert "1 row of the unknown variant 'ghost' was left out." in readout.warnings


def test_values_that_are_no_numbers_are_counted_and_left_out() -> None:
    revenue = (Metric(name="clicks", kind="mean", numerator="buy.value"),)
    shown = [exposure("a", "control", 1), exposure("b", "treatment", 1)]
    done = [outcome("a", "buy", 2, math.nan), outcome("a", "buy", 3, math.inf), outcome("a", "buy", 4, 5.0)]
    done.append(outcome("b", "buy", 4) | {"value": None})
    readout = read(events(shown, done), revenue)
    assert mean(readout, "control") == 5.0
    assert any("3 outcomes that hold a value that is not a finite number" in warning for warning in readout.warnings)


def test_values_may_be_whole_numbers() -> None:
    world = events([exposure("a", "control", 1), exposure("b", "treatment", 1)], [outcome("a", "buy", 2, 3.0)])
    whole = world.outcomes.set_column(4, "value", world.outcomes["value"].cast(pa.int64()))
    readout = read(Events(world.exposures, whole), (Metric(name="clicks", kind="mean", numerator="buy.value"),))
    assert mean(readout, "control") == 3.0


def test_fallback_slates_are_said() -> None:
    shown = [exposure(f"u{i}", "treatment", 1, context='{"fallback": true}' if i < 3 else "{}") for i in range(10)]
    shown += [exposure(f"c{i}", "control", 1, context='{"k":1,"fallback":false}') for i in range(10)]
    said = [warning for warning in read(events(shown, [])).warnings if "fallback" in warning]
    assert said == ["30.0% of the slates of treatment came from a fallback, not from its own model."]


def test_an_empty_log_is_a_readout_of_nothing() -> None:
    readout = read(Events(EXPOSURES.empty_table(), OUTCOMES.empty_table()), METRICS)
    assert [arm.units for arm in readout.arms] == [0, 0]
    assert (readout.first, readout.last, readout.daily) == (None, None, ())
    assert math.isnan(readout.srm.p_value)
    for comparison in readout.effects:
        assert math.isnan(comparison.effect.p_value)
        assert comparison.effect.reason == "no units in control"
    assert "No units in control." in readout.warnings


def test_exposures_without_any_outcome_are_all_zero(world: Events) -> None:
    readout = read(Events(world.exposures, OUTCOMES.empty_table()))
    assert mean(readout, "control") == mean(readout, "treatment") == 0.0
    assert "no variance" in readout.effects[0].effect.reason


def test_several_arms_are_each_compared_with_the_control() -> None:
    names = ("control", "one", "two")
    variants = tuple(Variant(name=name, weight=weight) for name, weight in zip(names, (0.5, 0.25, 0.25), strict=True))
    shown = [exposure(f"{name}{i}", name, 1) for name in names for i in range(20)]
    done = [outcome(f"{name}{i}", "click", 2) for name in names for i in range(20) for _ in range(i % (2 + len(name)))]
    readout = read(events(shown, done), variants=variants, planned_units=40_000)
    assert [comparison.variant for comparison in readout.effects] == ["one", "two"]
    assert [arm.share for arm in readout.arms] == [0.5, 0.25, 0.25]
    assert "tuned to 30,000 units" in readout.daily[0].effect.method  # control and one treatment of four quarters


def test_an_experiment_reads_only_the_metrics_that_it_names(world: Events) -> None:
    readout = read(world, METRICS, metrics=("revenue", "ctr"))
    assert [comparison.metric.name for comparison in readout.effects] == ["revenue", "ctr"]


def test_metrics_of_slates_alone_need_no_outcomes(world: Events) -> None:
    readout = read(Events(world.exposures, OUTCOMES.empty_table()), METRICS[4:])
    arm = readout.arms[0]
    assert mean(readout, "control", "slates") == pytest.approx(arm.exposures / arm.units)
    assert readout.effects[0].effect.reason == ""


def test_a_filter_of_kinds_reads_their_names() -> None:
    seen = [exposure("u1", "control", 0), exposure("u2", "treatment", 0)]
    world = events(seen, [outcome("u1", "view", 1), outcome("u1", "click", 2), outcome("u2", "click", 3)])
    known = (
        Metric(name="clicks", kind="ratio", numerator="click", denominator="view", where={"kind": ["click"]}),
        Metric(name="none", kind="mean", numerator="click", where={"kind": "view"}),
    )
    found = read(world, known)
    assert [mean(found, "control", metric.name) for metric in known] == [1.0, 0.0]


def test_kinds_may_be_called_as_our_columns_are() -> None:
    odd = tuple(Metric(name=kind, kind="mean", numerator=kind) for kind in ("unit", "variant", "first", 'it\'s "x"'))
    shown = [exposure("a", "control", 1), exposure("b", "treatment", 1)]
    readout = read(events(shown, [outcome("a", metric.numerator, 2) for metric in odd]), odd)
    assert [mean(readout, "control", metric.name) for metric in odd] == [1.0] * 4


def test_a_table_of_units_gives_the_same_effects_as_its_events(world: Events, readout: Readout) -> None:
    units = pa.Table.from_pandas(naive_units(world), preserve_index=False)
    found = analyse_units(experiment(), METRICS, units, as_of=AS_OF)
    for one, other in zip(found.effects, readout.effects, strict=True):
        assert one.effect.p_value == pytest.approx(other.effect.p_value, rel=1e-8)
    assert found.arms == tuple(replace(arm, exposures=0) for arm in readout.arms)
    assert found.daily == ()


def test_a_table_of_units_with_strangers_counts_them_and_with_holes_is_refused() -> None:
    units = pa.table({"variant": ["control", "treatment", "ghost"], "click": [1.0, 2.0, 3.0]})
    readout = analyse_units(experiment(), CLICKS, units, as_of=AS_OF)
    assert "1 row of the unknown variant 'ghost' was left out." in readout.warnings
    holed = pa.table({"variant": ["control", "treatment"], "click": [1.0, None]})
    with pytest.raises(ValueError, match="click is missing or NaN in 1 rows"):
        analyse_units(experiment(), CLICKS, holed, as_of=AS_OF)


@pytest.mark.parametrize(
    ("changed", "as_of", "words"),
    [
        ({"variants": (Variant(name="control", weight=1.0),)}, AS_OF, "needs two variants of different names or more"),
        (
            {"variants": (Variant(name="control", weight=0.0), Variant(name="treatment", weight=0.0))},
            AS_OF,
            "needs weights >= 0",
        ),
        ({}, datetime(2024, 4, 1), "as_of must carry a time zone"),
        ({"starts": datetime(2024, 4, 1)}, AS_OF, "starts must carry a time zone"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    world: Events, changed: dict[str, Any], as_of: datetime, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read(world, as_of=as_of, **changed)


def test_bad_sources_are_refused(world: Events, tmp_path: Path) -> None:
    def attempt(exposures: Any, definition: Experiment | None = None) -> None:
        analyse(definition or experiment(), CLICKS, exposures, world.outcomes, as_of=AS_OF)

    with pytest.raises(ValueError, match="exposures lacks the column variant; it has id, unit"):
        attempt(world.exposures.drop_columns(["variant"]))
    numbered = world.exposures.set_column(1, "unit", pa.array(range(world.exposures.num_rows)))
    with pytest.raises(ValueError, match="exposures: column unit must be text, got int64"):
        attempt(numbered)
    with pytest.raises(FileNotFoundError, match="exposures: no Parquet or CSV at"):
        attempt(tmp_path)
    with pytest.raises(
        TypeError, match="exposures must be an Arrow table, a frame, an Ibis table or a path to Parquet, got list"
    ):
        attempt([])
    with pytest.raises(ValueError, match="must all be Ibis tables or none"):
        attempt(ibis.memtable(world.exposures))
    with pytest.raises(LookupError, match="unknown metric 'click'; did you mean 'clicks'"):
        attempt(world.exposures, experiment(metrics=("click",)))
