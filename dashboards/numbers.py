"""Numbers as people read them: rounded to what the reader can use, with their unit."""

import math
from datetime import datetime

from abtest.analysis.words import SPELLINGS, decimals
from abtest.types import Effect, Metric

ABSENT = "–"


def label(name: str) -> str:
    """A metric's name for people.

    >>> label("ndcg_10"), label("hit_rate_5"), label("revenue_per_user"), label("ctr")
    ('nDCG@10', 'Hit rate@5', 'Revenue per user', 'CTR')
    """
    base, k = cut_off(name)
    first, *others = base.split("_")
    words = [SPELLINGS.get(first, first.capitalize()), *(SPELLINGS.get(word, word) for word in others)]
    return " ".join(words) + (f"@{k}" if k else "")


def cut_off(name: str) -> tuple[str, int | None]:
    """A metric's name without its cut-off, and the cut-off.

    >>> cut_off("hit_rate_5"), cut_off("gini")
    (('hit_rate', 5), ('gini', None))
    """
    base, _, k = name.rpartition("_")
    return (base, int(k)) if base and k.isdigit() else (name, None)


def count(n: int) -> str:
    """A count with thousands marked.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{n:,}"


def percent(share: float, digits: int = 1) -> str:
    """A share.

    >>> percent(0.0312), percent(float("nan"))
    ('3.1%', '–')
    """
    return f"{share:.{digits}%}" if math.isfinite(share) else ABSENT


def lift(share: float, digits: int = 1) -> str:
    """A relative change with its sign; a change that rounds to nothing has none.

    >>> lift(0.0312), lift(-0.2), lift(0.00004), lift(0.00004, 3)
    ('+3.1%', '−20.0%', '0.0%', '+0.004%')
    """
    return _signed(share, f"{abs(share):.{digits}%}")


def lift_of(effect: Effect) -> str:
    """The relative change of an effect, rounded to what its interval leaves to see."""
    return lift(effect.relative, _lift_digits(effect))


def lift_interval(effect: Effect) -> str:
    """The interval of a relative change: `−1.2% to +5.0%`."""
    low, high = effect.relative_ci
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    digits = _lift_digits(effect)
    return f"{lift(low, digits)} to {lift(high, digits)}"


def amount(metric: Metric, value: float) -> str:
    """A metric's value in its unit; a share in percent."""
    if is_share(metric):
        return percent(value, 2)
    return f"{plain(value)} {metric.unit}".rstrip() if math.isfinite(value) else ABSENT


def difference(metric: Metric, effect: Effect) -> str:
    """The difference of two values, rounded to what its interval leaves to see; that of two shares in points."""
    unit = " pp" if is_share(metric) else f" {metric.unit}".rstrip()
    text = fixed(_scale(metric) * effect.absolute, _difference_digits(metric, effect), signed=True)
    return text if text == ABSENT else f"{text}{unit}"


def difference_interval(metric: Metric, effect: Effect) -> str:
    """The interval of a difference, in the unit that `difference` names: `+1.3 to +3.1`."""
    if not all(map(math.isfinite, effect.ci)):
        return "no interval"
    places = _difference_digits(metric, effect)
    return " to ".join(fixed(_scale(metric) * bound, places, signed=True) for bound in effect.ci)


def is_share(metric: Metric) -> bool:
    """Whether a metric's values are parts of a whole: a proportion, or outcomes counted per item shown or exposure."""
    counted = not metric.numerator.endswith(".value")
    per_slate = metric.kind == "ratio" and metric.denominator in ("impressions", "exposures")
    return metric.kind == "proportion" or (per_slate and counted and not metric.unit)


def plain(value: float, digits: int = 4) -> str:
    """A number with its telling digits.

    >>> plain(0.123456), plain(12.3456), plain(12345.6), plain(0.0), plain(0.00001234)
    ('0.1235', '12.35', '12,346', '0', '1.234e−05')
    """
    if not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    text = f"{value:.{digits - 1}e}" if places > 7 else f"{value:,.{max(places, 0)}f}"
    return text.replace("-", "−")


def p_value(p: float) -> str:
    """A p-value; a tiny one as a bound.

    >>> p_value(0.0312), p_value(1e-9), p_value(0.9996), p_value(float("nan"))
    ('0.031', '< 0.001', '> 0.999', '–')
    """
    if not math.isfinite(p):
        return ABSENT
    if p < 0.001:
        return "< 0.001"
    return "> 0.999" if 0.9995 <= p < 1 else f"{p:.3f}"


def chance(share: float) -> str:
    """A probability; never certain, whatever the rounding says.

    >>> chance(0.957), chance(0.99999), chance(0.00001), chance(float("nan"))
    ('95.7%', '> 99.9%', '< 0.1%', '–')
    """
    if not math.isfinite(share):
        return ABSENT
    return "> 99.9%" if share > 0.999 else "< 0.1%" if share < 0.001 else percent(share)


def risk(share: float) -> str:
    """An expected relative loss.

    >>> risk(0.0123), risk(0.000001), risk(0.0)
    ('1.23%', '< 0.01%', '< 0.01%')
    """
    return "< 0.01%" if 0 <= share < 0.0001 else percent(share, 2)


def moment(at: datetime | None) -> str:
    """A moment, to the minute.

    >>> moment(datetime(2024, 2, 9, 8, 5))
    '9 Feb 2024, 08:05 UTC'
    """
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at else ABSENT


def seconds(duration: float) -> str:
    """A duration.

    >>> seconds(0.042), seconds(3.14), seconds(75.0)
    ('0.04 s', '3.1 s', '75 s')
    """
    if not math.isfinite(duration):
        return ABSENT
    return f"{duration:.2f} s" if duration < 1 else f"{duration:.1f} s" if duration < 10 else f"{duration:,.0f} s"


def fixed(value: float, places: int, *, signed: bool = False) -> str:
    """A number with a fixed count of places, for columns that are compared with each other.

    >>> fixed(0.12, 4), fixed(-0.5, 2), fixed(0.5, 2, signed=True)
    ('0.1200', '−0.50', '+0.50')
    """
    if not math.isfinite(value):
        return ABSENT
    size = f"{abs(value):,.{places}f}"
    return _signed(value, size) if signed or value < 0 else size


def _scale(metric: Metric) -> float:
    return 100.0 if is_share(metric) else 1.0


def _difference_digits(metric: Metric, effect: Effect) -> int:
    """Decimals that show two digits of the interval's width; without one, of the difference."""
    width = effect.ci[1] - effect.ci[0]
    return decimals(_scale(metric) * (width if math.isfinite(width) and width else abs(effect.absolute)))


def _lift_digits(effect: Effect) -> int:
    low, high = effect.relative_ci
    return decimals(100 * (high - low)) if math.isfinite(high - low) else 1


def _signed(value: float, size: str) -> str:
    if not math.isfinite(value):
        return ABSENT
    nothing = not any(digit in size for digit in "123456789")
    return size if nothing else f"{'+' if value > 0 else '−'}{size}"
