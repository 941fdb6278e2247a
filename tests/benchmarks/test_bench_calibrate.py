"""How long a simulated experiment takes: Welch on 1,000 units, drawn unit by unit and drawn as moments.

The limits are ratios to the drawing of the random numbers in the same run, so that a slow machine does not fail.
"""

import time
from collections.abc import Callable

import numpy as np

from abtest.certificate import fixed
from abtest.certificate.populations import normal
from abtest.statistics import welch
from abtest.statistics.moments import Moments

EXPERIMENTS, PER_ARM = 20_000, 500
BLOCK = 1_000


def seconds(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return min(once() for _ in range(3))


def draw() -> None:
    rng = np.random.default_rng(0)
    for _ in range(EXPERIMENTS // BLOCK):
        rng.standard_normal((2, BLOCK, PER_ARM, 1))


def unit_by_unit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(EXPERIMENTS // BLOCK):
        arms = rng.standard_normal((2, BLOCK, PER_ARM, 1))
        welch.effects(Moments.of(("numerator",), arms[0]), Moments.of(("numerator",), arms[1]), 0.95)


def as_moments() -> None:
    population, rng = normal(), np.random.default_rng(0)
    for _ in range(EXPERIMENTS // BLOCK):
        arms = (population.draw(rng, PER_ARM, (BLOCK,)) for _ in range(2))
        welch.effects(*arms, 0.95)


def test_an_experiment_costs_little_more_than_its_random_numbers() -> None:
    floor = seconds(draw)
    by_unit, at_once = seconds(unit_by_unit), seconds(as_moments)
    cell = seconds(lambda: fixed.certify("mean", "normal", PER_ARM, EXPERIMENTS // 2, np.random.default_rng(0)))
    for name, took in (("drawing alone", floor), ("unit by unit", by_unit), ("as moments", at_once), ("a cell", cell)):
        print(f"{name}: {EXPERIMENTS / took:,.0f} experiments of 1,000 units per second")
    # measured: 20,000,000 normal numbers in 0.3 s; 1 s of them would be 20,000 experiments per second at a ratio of 3.3
    assert by_unit < 3.3 * floor
    assert at_once < floor
    assert cell < floor
