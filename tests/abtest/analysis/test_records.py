import json
import math
from dataclasses import replace

import pytest

from abtest.analysis.analyse import analyse
from abtest.analysis.decide import decide
from abtest.analysis.readout import moments_of
from abtest.events.log import EXPOSURES, OUTCOMES
from abtest.types import Decision, DecisionRule, Readout
from bakeoff.records import from_json, to_json
from tests.abtest.analysis.worlds import AS_OF, METRICS, Events, experiment


@pytest.fixture(params=["full", "empty"])
def readout(request: pytest.FixtureRequest, world: Events) -> Readout:
    rows = world if request.param == "full" else Events(EXPOSURES.empty_table(), OUTCOMES.empty_table())
    return analyse(experiment(starts=None), METRICS, rows.exposures, rows.outcomes, as_of=AS_OF)


def test_a_readout_survives_the_round_trip(readout: Readout) -> None:
    text = to_json(Readout, readout)
    back = from_json(Readout, text)
    # NaN is not equal to itself, so the whole is compared as text and the parts as values
    assert to_json(Readout, back) == text
    assert type(back) is Readout
    assert (back.as_of, back.arms, back.warnings, back.samples) == (
        readout.as_of,
        readout.arms,
        readout.warnings,
        readout.samples,
    )
    assert [c.metric for c in back.effects] == [c.metric for c in readout.effects]


def test_nan_and_infinity_survive_in_strict_json(readout: Readout) -> None:
    odd = replace(readout.effects[0].effect, p_value=math.nan, relative_ci=(-math.inf, math.inf))
    text = to_json(Readout, replace(readout, effects=(replace(readout.effects[0], effect=odd),)))
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = from_json(Readout, text).effects[0].effect
    assert math.isnan(back.p_value)
    assert back.relative_ci == (-math.inf, math.inf)


def test_samples_make_the_moments_again(world: Events) -> None:
    readout = analyse(experiment(), METRICS, world.exposures, world.outcomes, as_of=AS_OF, daily=False)
    moments = moments_of(from_json(Readout, to_json(Readout, readout)).samples[0])
    assert moments.of_column("numerator") / moments.of_column("denominator") == readout.effects[0].effect.control


def test_a_decision_survives_the_round_trip(readout: Readout) -> None:
    decision = decide(readout, DecisionRule(min_units=5), AS_OF)
    assert from_json(Decision, to_json(Decision, decision)) == decision
