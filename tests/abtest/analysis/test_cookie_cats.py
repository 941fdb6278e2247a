"""The published result of a real experiment: Cookie Cats, the gate at level 30 against level 40."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pytest

from abtest.analysis.analyse import analyse_units
from abtest.analysis.decide import decide
from abtest.types import DecisionRule, Experiment, Metric, Readout, Variant

pytestmark = pytest.mark.real_data

COOKIE_CATS = Experiment(
    key="cookie_cats",
    variants=(Variant(name="gate_30", weight=0.5), Variant(name="gate_40", weight=0.5)),
    planned_units=90_000,
)
METRICS = (
    Metric(name="retention_7", kind="proportion", numerator="retention_7", role="primary"),
    Metric(name="retention_1", kind="proportion", numerator="retention_1"),
    Metric(name="rounds", kind="mean", numerator="sum_gamerounds", cap=10_000.0),
)


@pytest.fixture
def readout(data_folder: Path) -> Readout:
    table: pa.Table = csv.read_csv(data_folder / "ab-cookie-cats" / "cookie_cats.csv")
    for name in ("retention_1", "retention_7"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pc.cast(table[name], pa.bool_()))
    units = table.rename_columns({"version": "variant"})
    return analyse_units(COOKIE_CATS, METRICS, units, as_of=datetime(2024, 1, 1, tzinfo=UTC))


def test_seven_day_retention_falls_as_published(readout: Readout) -> None:
    effect = readout.effects[0].effect
    assert effect.control == pytest.approx(0.1902, abs=5e-5)
    assert effect.treatment == pytest.approx(0.1820, abs=5e-5)
    assert effect.p_value == pytest.approx(0.0016, abs=5e-5)
    assert effect.ci[1] < 0


def test_one_day_retention_and_rounds_are_not_clearly_changed(readout: Readout) -> None:
    assert readout.effects[1].effect.p_value == pytest.approx(0.074, abs=5e-4)
    assert readout.effects[2].effect.p_value > 0.1


def test_the_split_is_off_yet_below_the_alarm(readout: Readout) -> None:
    assert [arm.units for arm in readout.arms] == [44_700, 45_489]
    assert readout.srm.p_value == pytest.approx(0.0086, abs=5e-5)
    assert not readout.srm.alarm


def test_the_verdict_is_to_keep_the_gate(readout: Readout) -> None:
    decision = decide(readout, DecisionRule(), readout.as_of)
    assert decision.verdict == "stop"
    assert "gate_40 lowers retention 7 by 4.3%" in decision.reasons[0]
