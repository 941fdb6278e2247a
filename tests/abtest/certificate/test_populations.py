import numpy as np
import pytest

from abtest.certificate.populations import Population, Strata, Table
from abtest.certificate.subjects import POPULATIONS
from abtest.statistics.estimate import ratio_of_means
from abtest.statistics.moments import Moments

MOMENTS = sorted(set(POPULATIONS) - {"log-normal median", "revenue by country"})


@pytest.fixture(params=MOMENTS)
def population(request: pytest.FixtureRequest) -> Population:
    return POPULATIONS[request.param]()


@pytest.mark.parametrize("lift", [0.0, 0.2])
def test_samples_have_the_truth_that_is_told(population: Population, lift: float, rng: np.random.Generator) -> None:
    world, n, runs = population.lifted(lift), 2_000, 3_000
    assert world.value == pytest.approx(population.value * (1 + lift), rel=1e-12)
    found = ratio_of_means(world.draw(rng, n, (runs,)))
    error = world.deviation / np.sqrt(n)
    # of the mean over runs: four Monte-Carlo standard errors, and the ratio's bias of order 1 / n
    assert np.nanmean(found.value) == pytest.approx(world.value, abs=4 * error / np.sqrt(runs) + 1e-3 * world.value)
    assert np.nanstd(found.value) == pytest.approx(error, rel=0.06)
    assert np.sqrt(np.nanmean(found.variance)) == pytest.approx(error, rel=0.06)


def test_a_table_drawn_at_once_is_a_table_drawn_unit_by_unit(rng: np.random.Generator) -> None:
    world = POPULATIONS["clicks per slate"]()
    assert isinstance(world, Table)
    units = world.values[rng.choice(len(world.shares), (4_000, 300), p=world.shares)]
    one, other = Moments.of(world.columns, units), world.draw(rng, 300, (4_000,))
    np.testing.assert_allclose(one.mean.mean(axis=0), other.mean.mean(axis=0), rtol=0.01)
    np.testing.assert_allclose(one.comoment.mean(axis=0), other.comoment.mean(axis=0), rtol=0.03)
    np.testing.assert_allclose(one.comoment.std(axis=0), other.comoment.std(axis=0), rtol=0.15)


def test_normal_moments_are_those_of_normal_units(rng: np.random.Generator) -> None:
    world = POPULATIONS["normal with history"]()
    at_once = world.draw(rng, 12, (40_000,))
    mean, spread = np.array([10.0, 10.0]), 25.0 * np.array([[1.0, 0.7], [0.7, 1.0]])
    units = Moments.of(world.columns, rng.multivariate_normal(mean, spread, (40_000, 12)))
    np.testing.assert_allclose(at_once.comoment.mean(axis=0), units.comoment.mean(axis=0), rtol=0.02)
    np.testing.assert_allclose(at_once.comoment.std(axis=0), units.comoment.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(np.cov(at_once.mean.T), np.cov(units.mean.T), rtol=0.05)


def test_strata_merge_to_the_whole(rng: np.random.Generator) -> None:
    world = POPULATIONS["revenue by country"]()
    assert isinstance(world, Strata)
    drawn = world.draw(rng, 3_000, (2_000,))
    assert drawn.n.shape == (2_000, 4)
    assert (drawn.n.sum(axis=1) == 3_000).all()
    whole = Moments.merged([drawn[:, k] for k in range(4)])
    assert ratio_of_means(whole).value.std() == pytest.approx(world.deviation / np.sqrt(3_000), rel=0.1)
    assert world.lifted(0.1).value == pytest.approx(1.1 * world.value)


def test_the_same_seed_gives_the_same_sample(population: Population) -> None:
    one, other = (population.draw(np.random.default_rng(5), 50, (3, 2)) for _ in range(2))
    assert one.n.shape == (3, 2)
    assert np.array_equal(one.comoment, other.comoment)
