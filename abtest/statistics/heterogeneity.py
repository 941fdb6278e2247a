"""Do segments differ? One test over all of them, shrinkage of each towards all, and whether a ranking finds uplift.

Looking at segments one by one finds the luckiest. Cochran's Q asks first whether they differ at all; then each is
pulled towards the common effect by as much as its own noise deserves (empirical Bayes with the variance between
segments by DerSimonian and Laird 1986).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from abtest.statistics.effect import Effects, check_level
from abtest.statistics.moments import Array

LEAST_SEGMENTS, LEAST_TO_SHRINK = 2, 4


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """Whether the effect depends on the segment.

    q, freedom, p_value: Cochran's test that all segments share one effect. spread: the standard deviation between
    segments that is left when noise is taken out; share: of the variance seen that is not noise (I squared). common:
    the effect that all segments together point to, with its standard error. segments: how many could be compared.
    """

    q: float
    freedom: int
    p_value: float
    spread: float
    share: float
    common: float
    common_se: float
    segments: int
    reason: str = ""


def interaction(effects: Effects) -> Interaction:
    """Cochran's Q over segments (m,), of absolute effects; segments without an effect are left out."""
    estimate, variance = _known(effects)
    m = len(estimate)
    if m < LEAST_SEGMENTS:
        nan = float("nan")
        reason = f"{m} of {effects.absolute.size} segments have an effect, and two are needed to compare"
        return Interaction(
            q=nan, freedom=0, p_value=nan, spread=nan, share=nan, common=nan, common_se=nan, segments=m, reason=reason
        )
    weight = variance.min() / variance
    middle = estimate @ weight / weight.sum()
    q = float(((estimate - middle) ** 2 / variance).sum())
    between = _between(estimate, variance)
    random = 1.0 / (variance + between)
    return Interaction(
        q=q,
        freedom=m - 1,
        p_value=float(special.chdtrc(m - 1, q)),
        spread=float(np.sqrt(between)),
        share=max(0.0, 1.0 - (m - 1) / q) if q > 0 else 0.0,
        common=float(estimate @ random / random.sum()),
        common_se=float(np.sqrt(1.0 / random.sum())),
        segments=m,
    )


def shrunk(effects: Effects, level: float = 0.95) -> Effects:
    """Each segment's absolute effect (m,) pulled towards the common one by the share of it that is noise.

    The interval knows that the common effect and the spread are estimates as well (Morris 1983). The relative effect
    moves along. p-values are those of the shrunk effects: no further correction for the number of segments. With fewer
    than four segments nothing can be learnt of their spread, and they come back as they are.
    """
    z = -special.ndtri((1.0 - check_level(level)) / 2.0)
    seen = interaction(effects)
    m = seen.segments
    if m < LEAST_TO_SHRINK:
        return effects
    with np.errstate(divide="ignore", invalid="ignore"):
        # a spread from few segments is often too small: Morris shrinks a little less
        noise = (m - 3.0) / (m - 1.0) * effects.se**2 / (effects.se**2 + seen.spread**2)
        absolute = noise * seen.common + (1.0 - noise) * effects.absolute
        variance = (1.0 - noise) * effects.se**2 + (noise * seen.common_se) ** 2
        se = np.sqrt(variance + 2.0 / (m - 3.0) * (noise * (effects.absolute - seen.common)) ** 2)
        size = np.where(effects.control != 0, np.abs(effects.control), np.nan)
    absolute = np.where(np.isnan(se), np.nan, absolute)
    low, high = absolute - z * se, absolute + z * se
    return replace(
        effects,
        treatment=effects.control + absolute,
        absolute=absolute,
        relative=absolute / size,
        se=se,
        low=low,
        high=high,
        relative_low=low / size,
        relative_high=high / size,
        p_value=2.0 * special.ndtr(-np.abs(absolute / se)),
        method=np.full(effects.absolute.shape, "empirical Bayes over segments"),
        level=level,
    )


def _known(effects: Effects) -> tuple[Array, Array]:
    if effects.absolute.ndim != 1:
        raise ValueError(f"segments must be one axis, got effects of shape {effects.absolute.shape}")
    known = np.isfinite(effects.absolute) & (effects.se > 0)
    return effects.absolute[known], effects.se[known] ** 2


def _between(estimate: Array, variance: Array) -> float:
    """The variance between segments, by the method of moments; 0 where noise explains all that is seen."""
    # about the largest weight: tiny variances do not overflow
    scale = float(variance.min())
    weight = scale / variance
    q = float((weight * (estimate - estimate @ weight / weight.sum()) ** 2).sum()) / scale
    spare = float(weight.sum() - (weight**2).sum() / weight.sum())
    return max(0.0, (q - (len(estimate) - 1)) * scale / spare) if spare > 0 else 0.0
