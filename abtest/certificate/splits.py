"""The split itself: does the sample-ratio alarm keep its rate, and does the hash spread units evenly and anew?"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.assignment.hashing import BUCKETS, buckets
from abtest.certificate.lines import Band, Line, judge, mean, share
from abtest.statistics import srm

LOOKS = 28
ONCE, ALWAYS, PEEKED = "chi-square, once", "always valid, daily", "chi-square, daily"
CHECKS = (ONCE, ALWAYS, PEEKED)
SKEW = 0.495  # the share of a treatment that loses one unit in a hundred
RARE: Band = (0.0, 0.0014)  # alarms at one in a thousand
EXPERIMENTS, IDS = 60, 50_000
FAR = 3.29  # normal scores beyond which one in a thousand lies
ODD: Band = (0.0, 0.005)


def certify_ratio(check: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """What `runs` splits of `units` per arm say of a sample-ratio check, sound ones and ones that lose 1% of an arm."""
    sound, broken = (_alarms(check, 2 * units, part, runs, rng) for part in (0.5, SKEW))
    type_i = share(int(sound.any(axis=-1).sum()), runs)
    verdict, reason = judge({"alarms on sound splits": (type_i, RARE)})
    if check == PEEKED:
        verdict, reason = "for comparison", "what looking every day does to the chi-square alarm"
    return Line(
        kind="split",
        method=f"sample ratio: {check}",
        scenario="50/50, or 50.5/49.5",
        units=units,
        looks=1 if check == ONCE else LOOKS,
        runs=runs,
        lift=SKEW / 0.5 - 1.0,
        type_i=type_i,
        power=share(int(broken.any(axis=-1).sum()), runs),
        verdict=verdict,
        reason=reason,
    )


def _alarms(check: str, total: int, part: float, runs: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether each look (runs, looks) alarms."""
    until = np.rint(total * np.arange(1, LOOKS + 1) / LOOKS).astype(int)
    treated = rng.binomial(np.diff(until, prepend=0), part, (runs, LOOKS)).cumsum(axis=-1)
    units = np.stack([until - treated, treated], axis=-1)
    if check == ALWAYS:
        return np.asarray(srm.always_valid_p(units, [0.5, 0.5]) < srm.ALPHA)
    looked = units[:, -1:] if check == ONCE else units
    return np.asarray(srm.pearson(looked, [0.5, 0.5])[1] < srm.ALPHA)


def certify_hash(rng: np.random.Generator) -> Line:
    """What 60 experiments over the same 50,000 units say of the hash: even buckets, and no two experiments alike.

    type_i: the share of experiments whose hundred percentiles are uneven at one in a thousand; false_found: the share
    of pairs of experiments whose buckets correlate at one in a thousand.
    """
    ids = [f"user-{number}" for number in rng.choice(10**9, IDS, replace=False)]
    seeds = [f"experiment-{number}" for number in rng.choice(10**9, EXPERIMENTS, replace=False)]
    of_units = np.stack([buckets(seed, ids) for seed in seeds])
    counts = np.stack([np.bincount(row * 100 // BUCKETS, minlength=100) for row in of_units])
    uneven = srm.pearson(counts, np.ones(100))[1] < 0.001
    correlation = np.asarray(np.corrcoef(of_units))
    pairs = correlation[np.triu_indices(EXPERIMENTS, 1)] * np.sqrt(IDS)
    alike = mean(np.abs(pairs) > FAR)
    type_i = share(int(uneven.sum()), EXPERIMENTS)
    # the largest of all pairs, too: a hash that fails for one pair of salts fails two experiments
    largest = float(np.abs(pairs).max())
    chance = float(1.0 - (1.0 - 2.0 * special.ndtr(-largest)) ** len(pairs))
    verdict, reason = judge({"pairs alike": (alike, ODD)})
    if verdict == "holds" and (chance < 1e-4 or type_i.low > 0.001):
        verdict, reason = (
            "does not hold",
            f"largest correlation {largest:.1f} standard errors, uneven {type_i.value:.0%}",
        )
    return Line(
        kind="split",
        method="hash of assignment",
        scenario=f"{EXPERIMENTS} experiments",
        units=IDS,
        looks=1,
        runs=EXPERIMENTS,
        lift=0.0,
        type_i=type_i,
        false_found=alike,
        verdict=verdict,
        reason=reason or f"largest correlation of two experiments {largest / np.sqrt(IDS):.4f}",
    )
