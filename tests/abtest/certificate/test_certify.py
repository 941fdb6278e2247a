import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from abtest.certificate import cells, fixed, looks
from abtest.certificate.lines import EVER, FIXED, NOTHING, judge, mean, share
from abtest.certificate.subjects import METHODS as TESTED
from abtest.certificate.subjects import SCENARIOS
from abtest.statistics import METHODS, welch
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Moments


def cell(kind: str, method: str, scenario: str = "") -> cells.Cell:
    (found,) = [
        c
        for c in cells.all_cells()
        if (c.kind, c.method) == (kind, method) and scenario in c.scenario and c.units != 200
    ][:1]
    return found


def test_to_register_a_method_is_to_have_it_certified() -> None:
    assert set(METHODS.values()) <= {place.removesuffix("s") for place in TESTED.values()}
    assert set(TESTED) == set(SCENARIOS)


def test_keys_name_cells_once() -> None:
    keys = [c.key for c in cells.all_cells()]
    assert len(set(keys)) == len(keys) > 60


@pytest.mark.parametrize("kind", ["once", "daily"])
def test_the_same_seed_gives_the_same_line(kind: str) -> None:
    chosen = cell(kind, {"once": "mean", "daily": "confidence sequence"}[kind], "normal")
    # as text: NaN is not NaN
    assert repr(cells.run(chosen, 50, 1)) == repr(cells.run(chosen, 50, 1))
    assert repr(cells.run(chosen, 50, 1)) != repr(cells.run(chosen, 50, 2))


def test_welch_holds_on_normal_data() -> None:
    line = cells.run(cell("once", "mean", "normal"), 10_000, 7)
    assert line.verdict == "holds"
    assert line.power.value == pytest.approx(0.8, abs=0.016)
    assert abs(line.bias.value) < 0.04
    assert line.type_i.low < 0.05 < line.type_i.high


def test_a_test_that_pretends_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(control: Moments, treatment: Moments, level: float) -> Effects:
        return welch.effects(*(Moments(m.columns, m.n, m.mean, m.comoment / 2) for m in (control, treatment)), level)

    real = fixed.subject("mean", "normal")
    monkeypatch.setattr(fixed, "subject", lambda *_: type(real)(population=real.population, effects=halved))
    line = fixed.certify("mean", "normal", 500, 2_000, np.random.default_rng(0))
    assert line.verdict == "does not hold"
    assert "type I error 1" in line.reason


def test_peeking_breaks_the_t_test_and_not_the_methods_made_for_it() -> None:
    lines = looks.certify("normal", 2_000, 1_500, np.random.default_rng(3))
    found = {line.method: line for line in lines}
    assert found[looks.NAIVE].type_i.low > 0.2
    assert found[looks.NAIVE].verdict == "for comparison"
    for method in set(found) - {looks.NAIVE}:
        assert found[method].type_i.low < EVER[1]
    assert found["confidence sequence"].type_i.value < 0.03
    assert found["O'Brien-Fleming spending"].power.value > found["confidence sequence"].power.value + 0.15
    assert found["Pocock spending"].used.value < found["O'Brien-Fleming spending"].used.value


def test_every_kind_of_cell_gives_its_line() -> None:
    chosen = [
        cell("once", "median"),
        cell("reading", "non-inferiority"),
        cell("reading", "normal posterior"),
        cell("reading", "interaction test"),
        cell("family", "holm"),
        cell("family", "dunnett"),
        cell("ratio", "always valid, daily"),
    ]
    for each in chosen:
        line = cells.run(each, 40, 0)
        assert line.verdict in ("holds", "conservative", "unclear")
        assert each.method in line.method or line.method in each.method


def test_the_hash_passes_its_audit() -> None:
    line = cells.run(cell("hash", "hash"), 1, 0)
    assert line.verdict == "holds"
    assert "largest correlation" in line.reason


def test_shares_have_wilsons_interval() -> None:
    found = share(50, 1_000)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.05, *proportion_confint(50, 1_000, method="wilson")), rel=1e-9
    )
    assert share(0, 0) == NOTHING
    assert math.isnan(mean([1.0]).value)
    assert mean([1.0, math.nan, 3.0]).value == 2.0


@pytest.mark.parametrize(
    ("hits", "of", "verdict"),
    [
        (500, 10_000, "holds"),
        (620, 10_000, "does not hold"),
        (300, 10_000, "conservative"),
        (7, 100, "unclear"),
        (40, 100, "does not hold"),
    ],
)
def test_verdicts(hits: int, of: int, verdict: str) -> None:
    assert judge({"type I error": (share(hits, of), FIXED)})[0] == verdict


def test_who_says_so_is_not_who_pretends() -> None:
    wrong = {"type I error": (share(2_000, 10_000), FIXED)}
    assert judge(wrong, warned=0.9, reason="too few")[0] == "warns"
    assert judge(wrong, refused=0.9, reason="too few") == ("refuses", "too few")
    assert "20.0%, outside 4.0% to 6.0%" in judge(wrong)[1]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(LookupError, match="no method has 'welsh' in its name; known:"):
        cells.all_cells("welsh")
