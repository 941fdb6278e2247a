import math
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abtest.types import (
    Arm,
    Comparison,
    Decision,
    DecisionRule,
    Effect,
    Experiment,
    Metric,
    Readout,
    Sample,
    SampleRatio,
    Variant,
    Verdict,
)
from bakeoff.records import from_json, to_json
from experiments.home import Home
from experiments.store import Definition, ExperimentStore

AT = datetime(2025, 3, 4, 12, 30, 15, 123456, tzinfo=UTC)
CLICKS = Metric(name="clicks", kind="mean", numerator="click", role="primary", cap=9.5)
NAN, INF = math.nan, math.inf


@pytest.fixture
def store(tmp_path: Path) -> ExperimentStore:
    return ExperimentStore(Home.at(tmp_path))


def definition(key: str, created: datetime = AT) -> Definition:
    variants = tuple(Variant(name=n, weight=0.5, payload={"model": "m", "version": v}) for v, n in ((1, "a"), (2, "b")))
    return Definition(
        experiment=Experiment(key=key, variants=variants, metrics=("clicks",), starts=AT, status="running"),
        metrics=(CLICKS,),
        rule=DecisionRule(min_days=3),
        model="m",
        title="Ä: a < b?",
        created=created,
    )


def readout(key: str) -> Readout:
    effect = Effect(
        control=0.0, treatment=1.5, absolute=1.5, relative=INF, se=NAN, ci=(-INF, INF), relative_ci=(NAN, NAN),
        p_value=NAN, method="welch", level=0.95, reason="one unit only",
    )  # fmt: skip
    return Readout(
        experiment=key,
        as_of=AT,
        control="a",
        first=AT,
        last=None,
        arms=(Arm(variant="a", share=0.5, units=1, exposures=3),),
        srm=SampleRatio(chi_square=NAN, p_value=NAN, deviation=NAN, alpha=0.001, alarm=False, reason="too few"),
        effects=(Comparison(metric=CLICKS, variant="b", effect=effect),),
        daily=(Comparison(metric=CLICKS, variant="b", effect=effect, day=date(2025, 3, 4)),),
        warnings=("look",),
        samples=(Sample(metric="clicks", variant="a", columns=("n",), units=1, mean=(0.1,), comoment=((NAN,),)),),
    )


def decision(key: str, verdict: Verdict = "ship") -> Decision:
    return Decision(experiment=key, verdict=verdict, winner="b", reasons=("so",), rule=DecisionRule(), at=AT)


def test_a_definition_comes_back_as_it_was(store: ExperimentStore) -> None:
    store.save(definition("one"))
    assert store.definition("one") == definition("one")


def test_a_readout_comes_back_with_its_nan_and_infinities(store: ExperimentStore) -> None:
    store.save(definition("one"))
    store.save_readout(readout("one"))
    found = store.record("one").readout
    assert found is not None
    effect = found.effects[0].effect
    assert effect.relative == INF
    assert effect.ci == (-INF, INF)
    assert math.isnan(effect.se)
    assert math.isnan(effect.relative_ci[0])
    assert math.isnan(found.samples[0].comoment[0][0])
    assert to_json(Readout, found) == to_json(Readout, readout("one"))  # all fields: nan is not equal to itself


@given(st.lists(st.floats(), max_size=5))
def test_any_numbers_survive_json(values: list[float]) -> None:
    back = from_json(tuple[float, ...], to_json(tuple[float, ...], tuple(values)))
    assert repr(back) == repr(tuple(values))


def test_a_final_decision_marks_the_experiment_decided(store: ExperimentStore) -> None:
    for verdict, status in (("continue", "running"), ("ship", "decided"), ("stop", "decided")):
        store.save(definition("one"))
        store.save_decision(decision("one", verdict))  # type: ignore[arg-type]
        assert store.definition("one").experiment.status == status
    assert store.record("one").decision == decision("one", "stop")


def test_defining_again_keeps_what_was_read(store: ExperimentStore) -> None:
    store.save(definition("one"))
    store.save_readout(readout("one"))
    store.save(replace(definition("one"), title="other"))
    assert store.record("one").readout is not None


def test_keys_come_newest_first_whatever_was_written_last(store: ExperimentStore) -> None:
    for n, key in enumerate(("old", "new", "middle")):
        store.save(definition(key, created=AT.replace(day=(1, 9, 5)[n])))
    store.save_decision(decision("old"))
    assert store.keys() == ["new", "middle", "old"]
    assert [record.definition.experiment.key for record in store.records()] == ["new", "middle", "old"]


def test_a_damaged_definition_does_not_hide_the_others(store: ExperimentStore) -> None:
    for key in ("broken", "whole"):
        store.save(definition(key))
    (store.folder / "broken" / "definition.json").write_text("{")
    assert store.keys() == ["whole", "broken"]
    assert store.definition("whole") == definition("whole")
    with pytest.raises(ValueError, match=r"broken.definition\.json is damaged"):
        store.definition("broken")


def test_an_empty_store_has_no_keys(store: ExperimentStore) -> None:
    assert store.keys() == []
    assert store.records() == []


def test_an_unknown_key_is_answered_with_the_nearest(store: ExperimentStore) -> None:
    store.save(definition("demo-v2-vs-v1"))
    with pytest.raises(LookupError, match=r"unknown experiment 'demo-v2-vs-1'; did you mean 'demo-v2-vs-v1'\?"):
        store.definition("demo-v2-vs-1")


@pytest.mark.parametrize("content", ["", "{", '{"experiment": 3}', "null"])
def test_a_damaged_file_is_named_in_a_sentence(store: ExperimentStore, content: str) -> None:
    store.save(definition("one"))
    store.save_readout(readout("one"))
    path = store.folder / "one" / "readout.json"
    path.write_text(content)
    assert store.keys() == ["one"]
    with pytest.raises(ValueError, match=r"readout\.json is damaged.*; delete it and run the step again") as error:
        store.record("one")
    assert "\n" not in str(error.value)


def test_a_write_that_breaks_off_leaves_the_old_file(store: ExperimentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(definition("one"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(replace(definition("one"), title="other"))
    assert store.definition("one").title == definition("one").title
    assert [path.name for path in (store.folder / "one").iterdir()] == ["definition.json"]
