"""Ranking a backtest: the variants over all windows, in each of them, and for new and known users."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from bakeoff import __version__
from bakeoff.bootstrap import mean_interval
from experiments.backtest import Judged
from experiments.backtest_board import Backtest, Lead, Line, Slice, Stretch
from experiments.board import Cell, Rival
from experiments.config import BakeoffConfig
from experiments.tracking import revision
from recsys.data.dataset import Dataset
from recsys.leaderboard import holm, leaderboard
from recsys.scorecard import Scorecard, compare


def rank(
    config: BakeoffConfig, dataset: Dataset, judged: Judged, *, against: str | None, at: datetime, run_id: str = ""
) -> Backtest:
    """The standing of the variants over all windows, in each of them, and for new and known users.

    against: the variant that the others are compared with instead of the best.
    """
    settings, cards = config.evaluation, judged.cards
    metric = settings.leading
    ranked = leaderboard(list(cards.values()), metric, level=settings.level, rng=_rng(config))
    reference = against or ranked[0].model
    rivals = _rivals(config, judged, reference)
    windows = _windows(judged, metric)
    lines = tuple(
        Line(
            variant=place.model,
            model=config.variants[place.model].model,
            params=judged.tuned[place.model].params,
            cell=Cell(mean=place.mean, low=place.low, high=place.high, n=place.n),
            rival=rivals.get(place.model),
            led=sum(window.means[place.model] >= max(window.means.values()) for window in windows),
            ahead=sum(window.means[place.model] > window.means[reference] for window in windows),
            rank=float(np.mean([_rank(window, place.model) for window in windows])),
            validation=judged.tuned[place.model].value,
            trials=len(judged.tuned[place.model].trials),
            note=judged.notes[place.model],
        )
        for place in ranked
    )
    first = next(iter(cards.values()))
    return Backtest(
        name=config.name,
        metric=metric,
        level=settings.level,
        method=judged.rolling.method,
        reference=reference,
        lines=lines,
        windows=windows,
        slices=(
            _slice(config, judged, "new users", cold=True),
            _slice(config, judged, "known users", cold=False),
        ),
        lead=_lead(lines, reference, windows),
        users=first.n_users,
        lists=len(first.users),
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        seed=config.seed,
        package_version=__version__,
        revision=revision(),
        at=at,
        run_id=run_id,
    )


def _rivals(config: BakeoffConfig, judged: Judged, reference: str) -> dict[str, Rival]:
    """Each variant but the reference, against it; p after Holm's correction for all of them."""
    settings, cards = config.evaluation, judged.cards
    duels = {
        name: compare(card, cards[reference], settings.leading, level=settings.level, rng=_rng(config))
        for name, card in cards.items()
        if name != reference
    }
    adjusted = holm(np.array([duel.p_value for duel in duels.values()]))
    return {
        name: Rival(
            difference=duel.difference,
            low=duel.low,
            high=duel.high,
            p_value=float(p),
            share_better=duel.share_better,
            share_worse=duel.share_worse,
        )
        for (name, duel), p in zip(duels.items(), adjusted, strict=True)
    }


def _windows(judged: Judged, metric: str) -> tuple[Stretch, ...]:
    found = []
    for number, window in enumerate(judged.rolling.windows):
        own = {name: card.where(_of(card, number)) for name, card in judged.cards.items()}
        first = next(iter(own.values()))
        stretch = Stretch(
            start=str(window.start),
            end=str(window.end),
            rows=len(window.truth.interactions),
            users=first.n_users,
            new_users=int((first.n_seen == 0).sum()),
            means={name: card.mean(metric) for name, card in own.items()},
        )
        found.append(stretch)
    return tuple(found)


def _rank(window: Stretch, variant: str) -> int:
    return 1 + sum(mean > window.means[variant] for mean in window.means.values())


def _slice(config: BakeoffConfig, judged: Judged, name: str, *, cold: bool) -> Slice:
    own = {variant: card.where((card.n_seen == 0) == cold) for variant, card in judged.cards.items()}
    first = next(iter(own.values()))
    metric, cells = config.evaluation.leading, {}
    for variant, card in own.items():
        values, level = card.values[metric], config.evaluation.level
        one = mean_interval(values, level=level, rng=_rng(config), clusters=card.clusters)
        cells[variant] = Cell(mean=one.mean, low=one.low, high=one.high, n=one.n)
    return Slice(name=name, users=first.n_users, lists=len(first.users), cells=cells)


def _lead(lines: tuple[Line, ...], reference: str, windows: tuple[Stretch, ...]) -> Lead | None:
    if len(lines) < 2:
        return None
    best, second = lines[:2]
    other = second.variant if best.variant == reference else reference
    rival, sign = (best.rival, 1) if best.rival is not None else (second.rival, -1)
    assert rival is not None, "only the reference has none"
    ends = sorted((sign * rival.low, sign * rival.high))
    return Lead(
        variant=best.variant,
        other=other,
        difference=sign * rival.difference,
        low=ends[0],
        high=ends[1],
        p_value=rival.p_value,
        ahead=sum(window.means[best.variant] > window.means[other] for window in windows),
    )


def _of(card: Scorecard, number: int) -> NDArray[np.bool_]:
    assert card.window is not None, "the cards of a backtest are pooled"
    return np.asarray(card.window == number)


def _rng(config: BakeoffConfig) -> np.random.Generator:
    return np.random.default_rng(config.seed)
