"""The readout of experiments with checks, segments, covariates, posteriors and notes, and of those that went wrong."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
import streamlit as st

from abtest.types import AnalysisPlan, Check, Comparison, Interaction, Posterior, Readout, Sample, Segment
from dashboards import operators
from dashboards.markdown import cell
from experiments import sensitivity
from experiments.home import Home
from experiments.notes import Notes
from experiments.sensitivity import Sensitivity, View
from experiments.store import ExperimentStore
from tests.dashboards.test_pages import n_charts, opened, texts
from tests.dashboards.worlds import (
    CONVERSION,
    METRICS,
    UNFIT,
    comparisons,
    course,
    decision,
    definition,
    effect,
    readout,
)

Keep = Callable[..., None]
FATAL = Check(name="carry-over", says="The arms differed before the experiment (p < 0.0001).", alarm=True, fatal=True)
FINE = Check(name="sample ratio", says="The sample ratio is fine (p = 0.37).")


def deep(key: str) -> Readout:
    """A readout with everything that the analysis can give."""
    whole = tuple(
        replace(
            one,
            adjusted_p=min(1.0, 3 * one.effect.p_value),
            adjusted_ci=(one.effect.relative - 0.04, one.effect.relative + 0.04),
            unadjusted=effect(one.effect.control, one.effect.relative, 0.05),
            variance_saved=0.31,
            posterior=Posterior(
                chance_to_win=0.9996, risk_treatment=0.00001, risk_control=0.03, relative=0.03,
                relative_ci=(0.01, 0.05), prior="flat prior",
            ),
        )
        for one in comparisons()
    )  # fmt: skip
    parts = tuple(
        Comparison(
            metric=CONVERSION,
            variant="treatment",
            effect=effect(0.12, lift, 0.03),
            segment=Segment(name="context.device", value=device),
            adjusted_p=0.2,
            shrunken=0.02,
        )
        for device, lift in (("desktop", 0.05), ("mobile", 0.01), ("", 0.02))
    )
    return replace(
        readout(key),
        effects=whole,
        segments=parts,
        interactions=(Interaction(metric="conversion", variant="treatment", segment="context.device", p_value=0.21),),
        checks=(FINE, Check(name="extreme units", says="One unit makes 12% of revenue.", alarm=True)),
        analysis=AnalysisPlan(segments=("context.device",), bayesian=True),
    )


def test_corrected_numbers_decide_the_reading(keep: Keep) -> None:
    keep(definition("e"), deep("e"))
    effects = opened("readout", experiment="e").table[2].value.set_index("Metric")
    assert effects.loc["Conversion", "p, corrected"] == "0.004"
    assert effects.loc["Conversion", "Reading"] == "▲ better"
    assert effects.loc["Conversion", "Chance to win"] == cell("> 99.9%")
    assert effects.loc["Conversion", "Risk of shipping"] == cell("< 0.01%")
    assert effects.loc["Conversion", "Saved by CUPED"] == "31%"


def test_correction_can_take_a_reading_back(keep: Keep) -> None:
    barely = replace(comparisons()[0], effect=effect(0.12, 0.02, 0.019), adjusted_p=0.12)
    keep(definition("e"), replace(readout("e"), effects=(barely,), daily=()))
    assert opened("readout", experiment="e").table[1].value.loc[0, "Reading"] == "● cannot tell"


def test_cuped_can_be_switched_off(keep: Keep) -> None:
    keep(definition("e"), deep("e"))
    app = opened("readout", experiment="e")
    assert app.table[2].value.loc[0, "Lift"] == cell("+3.1% (+1.2% to +5.0%)")
    app.toggle(key="cuped").set_value(False).run()
    assert app.table[2].value.loc[0, "Lift"] == cell("+3% (−2% to +8%)")


def test_other_ways_of_computing_stand_beside_the_planned_one(keep: Keep, home: Home) -> None:
    made = deep("e")
    keep(definition("e"), made)
    capped = Comparison(metric=METRICS[1], variant="treatment", effect=effect(12.0, -0.001, 0.011))
    view = View(name="capped", says="Each unit counts at most so much.", effects=(capped,))
    found = Sensitivity(experiment="e", as_of=made.as_of, complete=True, views=(view,))
    sensitivity.save(home, found)
    app = opened("readout", experiment="e")
    ways = app.table[3].value.set_index("Metric")
    assert list(ways.columns) == ["As planned", "Without CUPED", "Capped at the 99% quantile"]
    assert ways.loc["Revenue per user", "Capped at the 99% quantile"] == cell("● −0.1% (−1.2% to +1.0%)")
    assert ways.loc["Conversion", "Capped at the 99% quantile"] == "–"
    assert "It hangs on how it is computed" in texts(app)
    assert "Revenue per user of treatment is “worse” as planned and “cannot tell” capped at" in texts(app)

    sensitivity.save(home, replace(found, complete=False))
    st.cache_data.clear()
    early = opened("readout", experiment="e")
    assert early.table[3].value.set_index("Metric").loc["Revenue per user"].iloc[-1] == "−0.1%"
    assert "Only the sizes can be compared yet" in texts(early)

    sensitivity.save(home, replace(found, as_of=made.as_of - timedelta(days=1)))
    st.cache_data.clear()
    assert "Capped" not in texts(opened("readout", experiment="e"))  # it belongs to an earlier readout


def test_segments_stand_with_their_shrunken_lift_and_the_test_between_them(keep: Keep) -> None:
    keep(definition("e"), deep("e"))
    app = opened("readout", experiment="e")
    segments = app.table[4].value
    assert list(segments["Segment"]) == ["desktop", "mobile", "(none)"]
    assert list(segments["Drawn to the whole"]) == ["+2.0%"] * 3
    assert list(segments["Reading"]) == ["● cannot tell"] * 3
    assert "is not shown to differ by device" in texts(app)


def test_fatal_check_stands_first_and_withholds_every_effect(keep: Keep) -> None:
    keep(definition("e"), replace(deep("e"), checks=(FINE, FATAL)), decision("e", "ship", "treatment"))
    app = opened("readout", experiment="e")
    assert "The arms differed before the experiment" in app.error[0].value
    assert not app.success
    assert n_charts(app) == 0
    assert [button.label for button in app.get("download_button")] == ["Report (HTML)"]
    assert opened().dataframe[0].value.loc[0, "Health"] == "⚠ carry-over"


def test_checks_are_listed_the_gravest_first(keep: Keep) -> None:
    keep(definition("e"), deep("e"))
    app = opened("readout", experiment="e")
    assert app.expander[0].label == "2 checks of validity: 1 to look at"
    assert list(app.table[1].value["Result"]) == ["⚠ look closer", "✓ fine"]


def test_experiment_without_outcomes_says_why_for_every_metric(keep: Keep) -> None:
    silent = tuple(Comparison(metric=m, variant="treatment", effect=UNFIT) for m in METRICS)
    keep(definition("e"), replace(readout("e"), effects=silent, daily=()))
    app = opened("readout", experiment="e")
    assert set(app.table[1].value["Reading"]) == {"not computed: the denominator is zero in the control"}
    found = texts(app)
    assert "Look whether outcomes arrive" in found
    assert "bakeoff analyse e" in found
    assert "grey tick" not in found  # of a chart that is not there
    assert n_charts(app) == 0


def test_one_arm_empty_is_a_page_with_its_warning(keep: Keep) -> None:
    made = readout("e")
    arms = (made.arms[0], replace(made.arms[1], units=0, exposures=0))
    keep(definition("e"), replace(made, arms=arms, effects=(), daily=(), warnings=("No units in treatment.",)))
    app = opened("readout", experiment="e")
    assert list(app.table[0].value["Actual share"]) == ["100.0%", "0.0%"]
    assert "No units in treatment." in texts(app)


def test_stopped_early_says_so_and_keeps_its_reason(keep: Keep, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    keep(definition("e"), readout("e"))
    app = opened("readout", experiment="e")
    app.session_state[operators.TOKEN], app.session_state[operators.NAME] = "open sesame", "ada"
    app.run()
    app.text_input(key="stop reason").set_value("the price list was wrong").run()
    app.checkbox(key="stop sure").check().run()
    app.button(key="stop").click().run()
    assert not app.exception
    assert ExperimentStore(home).definition("e").experiment.status == "stopped"
    found = texts(opened("readout", experiment="e"))
    assert "■ stopped" in found
    assert "Stopped before a verdict." in found
    assert "ada (dashboard): Stopped: the price list was wrong" in found


def test_operator_keeps_a_note(keep: Keep, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    keep(definition("e"), readout("e"))
    app = opened("readout", experiment="e")
    app.session_state[operators.TOKEN] = "open sesame"
    app.run()
    app.text_area(key="note text").set_value("*Black Friday* was on day 5").run()
    app.button(key="note").click().run()
    assert [note.text for note in Notes(home).of("e")] == ["*Black Friday* was on day 5"]


def test_operator_ramps_up_after_a_confirmation(keep: Keep, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    made = definition("e")
    keep(replace(made, experiment=replace(made.experiment, traffic=0.1)), readout("e"))
    app = opened("readout", experiment="e")
    app.session_state[operators.TOKEN], app.session_state[operators.NAME] = "open sesame", "ada"
    app.run()
    assert app.button(key="ramp").disabled
    app.number_input(key="ramp share").set_value(50.0).run()
    app.checkbox(key="ramp sure").check().run()
    app.button(key="ramp").click().run()
    assert not app.exception
    assert ExperimentStore(home).definition("e").experiment.traffic == 0.5
    found = texts(opened("readout", experiment="e"))
    assert "ada (dashboard): Ramped from 0.1 to 0.5 of the traffic." in found
    assert "50% of traffic" in found


def test_stopping_without_a_reason_is_refused_in_a_sentence(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(operators.VARIABLE, "open sesame")
    keep(definition("e"), readout("e"))
    app = opened("readout", experiment="e")
    app.session_state[operators.TOKEN] = "open sesame"
    app.run()
    app.checkbox(key="stop sure").check().run()
    app.button(key="stop").click().run()
    assert "stopping needs a reason" in texts(app)


def test_list_tells_stale_data_and_broken_guardrails(keep: Keep) -> None:
    keep(definition("old"), readout("old"))
    harmed = replace(comparisons()[3], effect=effect(0.31, 0.2, 0.02))
    keep(definition("harm"), replace(readout("harm"), effects=(harmed,), daily=()))
    health = opened().dataframe[0].value.set_index("Key")["Health"]
    assert health["old"].startswith("⚠ data ")
    assert health["old"].endswith("days old")
    assert health["harm"] == "✕ guardrail Returns"


def test_list_can_be_ordered(keep: Keep) -> None:
    little = replace(readout("little"), arms=tuple(replace(arm, units=10) for arm in readout("little").arms))
    keep(definition("much"), readout("much"))
    keep(definition("little"), little)
    app = opened()
    app.selectbox(key="order").set_value("least progress").run()
    assert list(app.dataframe[0].value["Key"]) == ["little", "much"]
    app.selectbox(key="order").set_value("most progress").run()
    assert list(app.dataframe[0].value["Key"]) == ["much", "little"]


def large(key: str) -> Readout:
    """A million units: eight metrics, three treatments, eight weeks by day, twenty segments."""
    names = ("control", "a", "b", "c")
    metrics = [replace(metric, name=f"{metric.name}_{n}") for n in (1, 2) for metric in METRICS]
    made = readout(key, names)
    effects = [
        replace(one, metric=replace(one.metric, name=f"{one.metric.name}_{n}"))
        for n in (1, 2)
        for name in names[1:]
        for one in comparisons(name)
    ]
    one_day = course(days=2)[2].effect
    daily = [
        Comparison(metric=metric, variant=name, effect=one_day, day=date(2024, 3, 4) + timedelta(days=day))
        for metric in metrics
        for name in names[1:]
        for day in range(56)
    ]
    segments = [replace(one, segment=Segment(name="country", value=f"c{n}")) for n in range(20) for one in effects]
    arms = tuple(replace(arm, units=250_000, exposures=1_400_000) for arm in made.arms)
    samples = tuple(
        Sample(
            metric=m.name, variant=name, columns=("numerator",), units=250_000, mean=(0.12,), comoment=((26_400.0,),)
        )
        for m in metrics
        for name in names
    )
    return replace(
        made,
        arms=arms,
        effects=tuple(effects),
        daily=tuple(daily),
        segments=tuple(segments),
        samples=samples,
        planned_units=2_000_000,
    )


@pytest.mark.parametrize("page", ["experiments", "readout", "plan"])
def test_pages_open_in_under_two_seconds_on_a_million_units(keep: Keep, page: str) -> None:
    made = large("big")
    plan = definition("big", variants=("control", "a", "b", "c"))
    keep(replace(plan, days=56, metrics=tuple(dict.fromkeys(one.metric for one in made.effects))), made)
    opened(page, experiment="big")  # the first visit of a server also imports
    times = []
    for _ in range(3):  # the best of three, in processor time: other work on this machine is not the page's
        st.cache_data.clear()
        started = time.process_time()
        opened(page, experiment="big")
        times.append(time.process_time() - started)
    assert min(times) < 2.0
