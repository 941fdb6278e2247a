"""The tables, by hand."""

import io
import math
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from abtest.types import Comparison, Metric
from dashboards import board_tables, numbers, readable, readout_tables, registry_tables, tables
from experiments.journal import Event, Slots
from experiments.store import Record
from tests.dashboards.worlds import (
    CONVERSION,
    CTR,
    RETURNS,
    REVENUE,
    START,
    UNFIT,
    board,
    broken,
    cell,
    decision,
    definition,
    effect,
    half_way,
    readout,
)


def waiting(key: str) -> Record:
    return Record(definition=definition(key), readout=None, decision=None)


def test_days_are_counted_by_the_clock_until_there_is_data() -> None:
    assert tables.days_running(waiting("e"), START + timedelta(days=3, hours=5)) == 3
    assert tables.days_running(waiting("e"), START + timedelta(days=300)) == 14
    assert tables.days_running(waiting("e"), START - timedelta(days=3)) == 0
    assert tables.days_running(replace(waiting("e"), readout=half_way("e")), START + timedelta(days=300)) == 7


def test_progress_stops_at_the_plan_and_is_absent_without_one() -> None:
    unplanned = definition("e")
    unplanned = replace(unplanned, experiment=replace(unplanned.experiment, planned_units=None))
    record = Record(definition=unplanned, readout=replace(readout("e"), planned_units=None), decision=None)
    assert tables.progress(record) is None
    assert tables.units(record) == "16,023"
    assert tables.progress(replace(record, readout=replace(readout("e"), planned_units=10))) == 100


def test_search_takes_signs_of_patterns_as_they_stand() -> None:
    frame = tables.experiments([waiting("a.b"), waiting("axb")], START)
    assert list(tables.filtered(frame, "a.b", [])["Key"]) == ["a.b"]
    assert tables.filtered(frame, "(", []).empty


def test_key_with_odd_characters_survives_in_the_link() -> None:
    assert tables.experiments([waiting("a b&c")], START).loc[0, "Readout"] == "readout?experiment=a%20b%26c"


def test_effects_put_primary_metrics_first_and_guardrails_last() -> None:
    shuffled = replace(readout("e"), effects=readout("e").effects[::-1])
    assert list(readout_tables.effects(shuffled)["Role"]) == ["primary", "secondary", "secondary", "guardrail"]


@pytest.mark.parametrize(
    ("lift", "reading"),
    [(0.0, "✓ holds (margin 5.0%)"), (0.2, "✕ broken (margin 5.0%)"), (0.045, "○ open (margin 5.0%)")],
)
def test_guardrail_reads_by_its_margin(lift: float, reading: str) -> None:
    guarded = Comparison(metric=RETURNS, variant="treatment", effect=effect(1.0, lift, 0.02))
    assert readout_tables.effects(replace(readout("e"), effects=(guarded,))).loc[0, "Reading"] == reading


def test_effect_without_relative_change_keeps_its_difference() -> None:
    from_nothing = replace(effect(1.0, 0.5, 0.1), control=0.0, relative=math.nan, relative_ci=(math.nan, math.nan))
    made = replace(readout("e"), effects=(Comparison(metric=REVENUE, variant="treatment", effect=from_nothing),))
    row = readout_tables.effects(made).loc[0]
    assert row["Control"] == "0 EUR (n = 8,012)"
    assert row["Difference"] == "+0.50 EUR (+0.40 to +0.60)"
    assert row["Lift"] == "– (no interval)"


def test_csv_has_every_effect_with_all_digits_and_reasons() -> None:
    unfit = Comparison(metric=CTR, variant="treatment", effect=UNFIT)
    made = replace(readout("e"), effects=(*readout("e").effects, unfit))
    back = pd.read_csv(io.BytesIO(readout_tables.effects_csv(made)))
    assert len(back) == len(made.effects) + len(made.daily)
    assert back.loc[0, "relative"] == made.effects[0].effect.relative
    assert back["relative"].isna().tolist() == [row == 4 for row in range(len(back))]
    assert back.loc[4, "reason"] == "the denominator is zero in the control"


def test_only_a_broken_split_or_an_invalid_verdict_withholds() -> None:
    assert readable.withheld(broken("e"), None)
    assert readable.withheld(readout("e"), decision("e", "invalid"))
    assert not readable.withheld(readout("e"), decision("e", "stop"))
    assert not readable.withheld(readout("e"), None)


def test_shares_are_percentages_and_other_ratios_are_not() -> None:
    per_order = Metric(name="basket", kind="ratio", numerator="purchase.value", denominator="purchase", unit="EUR")
    assert numbers.amount(CTR, 0.0421) == "4.21%"
    assert numbers.amount(CONVERSION, 0.5) == "50.00%"
    assert numbers.amount(per_order, 31.5) == "31.50 EUR"


def test_a_difference_has_the_digits_that_its_interval_leaves() -> None:
    clicks = replace(effect(0.04, 0.005, 0.0125), absolute=0.0002, ci=(-0.0003, 0.0007))
    nothing = replace(clicks, absolute=0.000168, ci=(math.nan, math.nan))
    assert numbers.difference(CTR, clicks) == "+0.02 pp"
    assert numbers.difference_interval(CTR, clicks) == "−0.03 to +0.07"
    assert numbers.difference(CTR, nothing) == "+0.017 pp"
    assert numbers.difference_interval(CTR, nothing) == "no interval"


def test_every_metric_marks_the_best_and_knows_when_less_is_better() -> None:
    table = board_tables.all_metrics(board(), 10).set_index("Metric")
    assert table.loc["nDCG@10", "fusion"] == "**0.1234 (0.1194 to 0.1274)**"
    assert table.loc["Gini@10 (less is better)", "popularity"] == "**0.5624**"
    assert table.loc["Gini@10 (less is better)", "fusion"] == "0.6234"


def test_metric_that_no_variant_has_is_left_out_and_a_missing_one_is_absent() -> None:
    made = board()
    bare = replace(made.standings[1], cells={"ndcg_10": cell(0.1, 0.01), "map_10": cell(math.nan, 0.0)})
    table = board_tables.all_metrics(replace(made, standings=(made.best, bare)), 10).set_index("Metric")
    assert "MAP@10" not in table.index
    assert table.loc["Recall@10", "als"] == "–"


def test_leader_and_those_it_cannot_be_told_from_are_named() -> None:
    made = board()
    alone = replace(made, standings=tuple(replace(row, tied=False) for row in made.standings))
    assert board_tables.summary(made) == "fusion leads; the data cannot tell it from als."
    assert board_tables.summary(alone) == "fusion is the best of 4."


def test_slots_say_who_since_when_and_by_which_decision() -> None:
    last = Event(at=START, model="m", change="promote", alias="champion", version=4, before=3, experiment="fusion-als")
    full = Slots(model="m", champion=4, challenger=5, previous=3, since=START, last=last)
    assert registry_tables.slot_sentences(full) == [
        "Champion: v4 since 4 Mar 2024, 00:00 UTC, by the decision on fusion-als.",
        "Challenger: v5.",
        "A rollback restores v3.",
    ]
    empty = Slots(model="m", champion=None, challenger=None, previous=None, since=None, last=None)
    assert registry_tables.slot_sentences(empty) == ["No champion: no version of m serves as the default."]
