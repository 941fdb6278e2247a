"""Worlds with a known truth, drawn as Moments at once: the cost of an experiment does not depend on its units.

A population is either normal, whose means and products have known laws (Wishart), or a table of kinds of unit, of which
an experiment has multinomially many: a log-normal in two hundred prices is as heavy-tailed as a smooth one, and its
mean is known to the last digit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from abtest.statistics.moments import Array, Moments
from abtest.statistics.quantile import Rows

SAMPLES = 2_500  # experiments at once, where a sample is no more than its moments
BLOCK = 1 << 21  # numbers of one block of counts (16 MB), so that memory stays bounded


class Population(Protocol):
    """What a method is tested on."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the moments."""

    @property
    def value(self) -> float:
        """The true value of the metric."""

    @property
    def deviation(self) -> float:
        """The true standard deviation of one unit's share in the metric: the estimate's standard error * sqrt(n)."""

    def lifted(self, lift: float) -> "Population":
        """The same with the metric changed by this share of itself."""

    def draw(self, rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> Any:
        """Independent samples (*shape) of n units each, as the method takes them: Moments, mostly."""

    def at_once(self, n: int) -> int:
        """How many samples of n units fit into memory together."""


@dataclass(frozen=True, eq=False)
class Normal:
    """Jointly normal columns, "numerator" first; drawn by Bartlett's decomposition of the Wishart law."""

    columns: tuple[str, ...]
    mean: Array
    covariance: Array

    @property
    def value(self) -> float:
        """The mean of the numerator."""
        return float(self.mean[0])

    @property
    def deviation(self) -> float:
        """The standard deviation of the numerator."""
        return float(np.sqrt(self.covariance[0, 0]))

    def at_once(self, n: int) -> int:
        """Any number, whatever their units."""
        return SAMPLES

    def lifted(self, lift: float) -> "Normal":
        """The numerator moved, the spread as it was."""
        move = np.zeros(len(self.mean))
        move[0] = lift * abs(self.mean[0])
        return Normal(self.columns, self.mean + move, self.covariance)

    def draw(self, rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> Moments:
        """The mean is normal, the centred products are Wishart with n - 1 degrees of freedom."""
        p, root = len(self.mean), np.linalg.cholesky(self.covariance)
        mean = self.mean + rng.standard_normal((*shape, p)) @ root.T / np.sqrt(n)
        factor = np.tril(rng.standard_normal((*shape, p, p)), -1)
        for column in range(p):
            factor[..., column, column] = np.sqrt(rng.chisquare(n - 1 - column, shape))
        half = root @ factor
        return Moments(self.columns, np.full(shape, n), mean, half @ half.swapaxes(-1, -2))


@dataclass(frozen=True, eq=False)
class Table:
    """Kinds of unit: their values (m, p) and shares (m,), the numerator first; a ratio where there is a denominator."""

    columns: tuple[str, ...]
    values: Array
    shares: Array

    @property
    def value(self) -> float:
        """The mean, or the ratio of means."""
        mean = self.shares @ self.values
        return float(mean[0] / self._denominator(mean))

    @property
    def deviation(self) -> float:
        """Of numerator - value * denominator, over the mean denominator."""
        mean = self.shares @ self.values
        bottom = self.values[:, self.columns.index("denominator")] if "denominator" in self.columns else 1.0
        linear = (self.values[:, 0] - self.value * bottom) / self._denominator(mean)
        return float(np.sqrt(self.shares @ linear**2))

    def at_once(self, n: int) -> int:
        """Any number, whatever their units."""
        return SAMPLES

    def lifted(self, lift: float) -> "Table":
        """Every unit's numerator multiplied; of units that are 0 or 1, more of them are 1."""
        values, shares = self.values.copy(), self.shares
        if np.isin(values[:, 0], (0.0, 1.0)).all():
            ones = values[:, 0] == 1.0
            rate = shares[ones].sum() * (1.0 + lift)
            shares = np.where(ones, shares * (1.0 + lift), shares * (1.0 - rate) / shares[~ones].sum())
        else:
            values[:, 0] *= 1.0 + lift
        return Table(self.columns, values, shares)

    def draw(self, rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> Moments:
        """How many units are of each kind, and what that makes of the moments."""
        runs, p = int(np.prod(shape)), len(self.columns)
        centre = self.shares @ self.values  # products about the true mean lose nothing
        away = self.values - centre
        squares = (away[:, :, None] * away[:, None, :]).reshape(len(away), p * p)
        gap, product = np.empty((runs, p)), np.empty((runs, p, p))
        for block, counts in self._counts(rng, n, runs):
            gap[block] = counts @ away / n
            product[block] = (counts @ squares).reshape(-1, p, p)
        product -= n * gap[:, :, None] * gap[:, None, :]
        return Moments(
            self.columns, np.full(shape, n), (centre + gap).reshape(*shape, p), product.reshape(*shape, p, p)
        )

    def _counts(self, rng: np.random.Generator, n: int, runs: int) -> Iterator[tuple[slice, Array]]:
        """How many units of each kind (rows, m) the samples have, in blocks of runs."""
        rows = max(1, BLOCK // len(self.shares))
        for start in range(0, runs, rows):
            block = slice(start, min(start + rows, runs))
            yield block, rng.multinomial(n, self.shares, block.stop - start).astype(np.float64)

    def _denominator(self, mean: Array) -> float:
        return float(mean[self.columns.index("denominator")]) if "denominator" in self.columns else 1.0


@dataclass(frozen=True, eq=False)
class Strata(Table):
    """Kinds of unit that each belong to a stratum (m,), 0 to S - 1: the last axis of the moments (*shape, S)."""

    stratum: NDArray[np.int64]

    def lifted(self, lift: float) -> "Strata":
        """Every unit's numerator multiplied."""
        return Strata(self.columns, Table.lifted(self, lift).values, self.shares, self.stratum)

    def draw(self, rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> Moments:
        """How many units are of each kind, and what that makes of each stratum."""
        runs, of_stratum = int(np.prod(shape)), np.eye(int(self.stratum.max()) + 1)[self.stratum]
        parts = []
        for _, counts in self._counts(rng, n, runs):
            size = counts @ of_stratum
            values = self.values[:, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = np.where(size > 0, (counts * values) @ of_stratum / size, 0.0)
            about = mean @ of_stratum.T
            spread = (counts * (values - about) ** 2) @ of_stratum
            parts.append(Moments(self.columns, size.astype(np.int64), mean[..., None], spread[..., None, None]))
        whole = (*shape, of_stratum.shape[1])
        return Moments(
            self.columns,
            np.concatenate([part.n for part in parts]).reshape(whole),
            np.concatenate([part.mean for part in parts]).reshape(*whole, 1),
            np.concatenate([part.comoment for part in parts]).reshape(*whole, 1, 1),
        )


@dataclass(frozen=True)
class Median:
    """The median of log-normal rows, one per unit: values themselves, since moments do not know a quantile."""

    scale: float = 1.0
    sigma: float = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """None: rows are not moments."""
        return ()

    @property
    def value(self) -> float:
        """The median."""
        return self.scale

    @property
    def deviation(self) -> float:
        """Of a sample median, times sqrt(n): half over the density at the median."""
        return 0.5 * self.scale * self.sigma * float(np.sqrt(2.0 * np.pi))

    def at_once(self, n: int) -> int:
        """As many as a block holds."""
        return max(1, 2 * BLOCK // n)

    def lifted(self, lift: float) -> "Median":
        """All rows multiplied."""
        return Median(self.scale * (1.0 + lift), self.sigma)

    def draw(self, rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> Rows:
        """Rows (*shape, n)."""
        return Rows(values=self.scale * np.exp(self.sigma * rng.standard_normal((*shape, n))))


def normal(mean: float = 10.0, deviation: float = 5.0) -> Normal:
    """Minutes watched, as the textbook has them."""
    return Normal(("numerator",), np.array([mean]), np.array([[deviation**2]]))


def normal_with_history(correlation: float = 0.7, mean: float = 10.0, deviation: float = 5.0) -> Normal:
    """The same, and each unit's value before the experiment."""
    covariance = deviation**2 * np.array([[1.0, correlation], [correlation, 1.0]])
    return Normal(("numerator", "covariate"), np.array([mean, mean]), covariance)


def log_normal(sigma: float = 1.0, kinds: int = 200) -> Table:
    """Seconds until a click: the logarithm is normal with deviation sigma; kinds are even in the logarithm."""
    steps = np.linspace(-5.0, 6.5, kinds)  # beyond 6.5 deviations lies one unit in 25 billion
    shares = np.exp(-0.5 * steps**2)
    return Table(("numerator",), np.exp(sigma * steps)[:, None], shares / shares.sum())


def revenue(buyers: float = 0.1, sigma: float = 1.0, kinds: int = 100) -> Table:
    """Money per user: most spend nothing, some log-normally much."""
    spent = log_normal(sigma, kinds)
    return Table(
        ("numerator",), np.concatenate([[[0.0]], spent.values]), np.concatenate([[1.0 - buyers], buyers * spent.shares])
    )


def revenue_by_country() -> Strata:
    """Money per user in four countries that differ in how many buy and how much."""
    countries = [(0.4, 0.03, 1.0), (0.3, 0.1, 2.0), (0.2, 0.2, 4.0), (0.1, 0.5, 10.0)]
    worlds = [revenue(buyers, 0.7, kinds=60) for _, buyers, _ in countries]
    return Strata(
        ("numerator",),
        np.concatenate([world.values * price for world, (_, _, price) in zip(worlds, countries, strict=True)]),
        np.concatenate([world.shares * part for world, (part, _, _) in zip(worlds, countries, strict=True)]),
        np.repeat(np.arange(4), [len(world.shares) for world in worlds]),
    )


def binary(rate: float) -> Table:
    """Whether a unit converted."""
    return Table(("numerator",), np.array([[0.0], [1.0]]), np.array([1.0 - rate, rate]))


def clicks_per_slate(least: float = 1e-8) -> Table:
    """Clicks over slates: heavy users see more, click more per slate, and differ in taste (negative binomial)."""
    slates = np.arange(1, 31)
    of_slates = stats.poisson.pmf(slates - 1, 5.0)
    clicks = np.arange(81)
    expected = 0.1 * slates * (1.0 + 0.05 * slates)
    given = stats.nbinom.pmf(clicks[None, :], 2.0, (2.0 / (2.0 + expected))[:, None])
    return _joint(("numerator", "denominator"), clicks, slates, (of_slates[:, None] * given).T, least)


def visits_with_history(least: float = 1e-8) -> Table:
    """Visits during and before the experiment: counts that share each unit's habit (gamma-Poisson)."""
    habit, of_habit = np.polynomial.laguerre.laggauss(24)  # habits are exponential around 1
    counts = np.arange(60)
    given = np.exp(counts * np.log(3.0 * habit[:, None]) - 3.0 * habit[:, None] - special.gammaln(counts + 1.0))
    return _joint(("numerator", "covariate"), counts, counts, (given * of_habit[:, None]).T @ given, least)


def _joint(columns: Sequence[str], first: ArrayLike, second: ArrayLike, shares: Array, least: float) -> Table:
    """The pairs that are likelier than `least`."""
    kept = shares > least
    pairs = np.stack(np.meshgrid(np.asarray(first), np.asarray(second), indexing="ij"), axis=-1)[kept].astype(
        np.float64
    )
    return Table(tuple(columns), pairs, shares[kept] / shares[kept].sum())
