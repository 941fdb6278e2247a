"""Plan: how many units and days the next experiment needs, from what the past ones measured."""

import math
from functools import partial

import streamlit as st

from abtest.statistics.planning import Design, Looks
from dashboards import layout, plan_charts, plan_words, queries
from dashboards.markdown import escape
from dashboards.numbers import label
from experiments import plans
from experiments.home import Home
from experiments.plans import Past


def page() -> None:
    """Draw the plan from the experiment that `?experiment=KEY` names, and its metric `?metric=NAME`."""
    home = layout.home()
    listed = queries.keys(home)
    layout.heading("Plan", listed.at)
    if not listed.value:
        layout.teach("No experiment yet, so there is no history to plan from.")
        return
    left, right = st.columns(2)
    with left:
        key = layout.chooser("experiment", "History from", listed.value)
    if key is not None:
        with layout.problems():
            draw(home, key, right)


def draw(home: Home, key: str, beside: "st.delta_generator.DeltaGenerator") -> None:
    """Draw the plan of one metric."""
    found = {past.metric.name: past for past in queries.pasts(home, key).value}
    if not found:
        st.info("This experiment has measured nothing to plan from yet: its readout holds no metric with a spread.")
        st.code(f"bakeoff analyse {key}", language="bash")
        return
    names = tuple(sorted(found, key=lambda name: found[name].metric.role != "primary"))
    with beside:
        name = layout.chooser("metric", "Metric", names, {name: label(name) for name in names})
    if name not in found:
        st.error(escape(f"{key} has no metric {name!r} to plan from; it has {', '.join(names)}."))
        return
    past = found[name]
    wanted, lift, days, share = asked(past)
    answers(past, wanted, lift, days, share)
    st.subheader("What this rests on", anchor=False)
    layout.table(plan_words.history(past))


def asked(past: Past) -> tuple[Design, float, int, float]:
    """What the reader wants: the design, the lift in question, the days to spend, the share of traffic."""
    one, two, three, four = st.columns(4)
    percent = one.number_input("Lift to find, in %", 0.1, 500.0, _usual(past), 0.5, format="%.1f", key="lift")
    days = two.number_input("Days to spend", 1, 365, 14, key="days")
    arms = three.number_input("Arms, with the control", 2, 8, 2, key="arms")
    traffic = four.slider("Share of traffic, in %", 5, 100, 100, 5, key="share")
    one, two, three = st.columns([2, 1, 1], vertical_alignment="bottom")
    looks: Looks = one.selectbox("Read", list(plan_words.LOOKS), format_func=plan_words.LOOKS.__getitem__, key="looks")
    power = two.selectbox("Power", [0.8, 0.9, 0.95], format_func="{:.0%}".format, key="power")
    known = math.isfinite(past.variance_saved) and past.variance_saved > 0
    cuped = three.toggle("With CUPED", value=known, disabled=not known, key="cuped", help=plan_words.saving(past))
    saved = past.variance_saved if cuped and known else 0.0
    wanted = plans.design(arms=int(arms), looks=looks, power=float(power), variance_saved=saved)
    return wanted, float(percent) / 100.0, int(days), traffic / 100.0


def answers(past: Past, wanted: Design, lift: float, days: int, share: float) -> None:
    """Draw what the lift takes, and what the days can find."""
    forecast, reach = plans.forecast(past, wanted, lift, share), plans.reach(past, wanted, days, share)
    arms = len(wanted.shares)
    st.info(escape(plan_words.answer(past, forecast, wanted.power, arms)))
    left, right = st.columns(2)
    with left:
        st.markdown("**With the days you have**")
        if past.arrivals:
            st.caption(escape(plan_words.reach_sentence(past, reach, wanted.power)))
            widest = max(2.5 * lift, 2.0 * reach.lift) if math.isfinite(reach.lift) else 2.5 * lift
            curve = plans.power_curve(past, wanted, reach.units, min(widest, plans.most(past)))
            layout.chart(partial(plan_charts.power_curve, curve, wanted.power, reach.lift), key="power curve")
        else:
            st.info("The past experiment's units were not counted by day, so days cannot be turned into units.")
    with right:
        st.markdown("**With more or fewer days**")
        st.caption("The smallest lift that so many days can find; a change below the curve will usually be missed.")
        if past.arrivals:
            reaches = plans.reach_curve(past, wanted, range(7, max(57, days + 1), 7), share)
            layout.chart(partial(plan_charts.reach_curve, reaches, days), key="reach curve")


def _usual(past: Past) -> float:
    """The lift that the metric's owner would not like to miss, else 5%."""
    return 100.0 * past.metric.mde if past.metric.mde else 5.0


if __name__ == "__main__":
    page()
