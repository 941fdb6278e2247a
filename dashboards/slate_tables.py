"""The tables of the slates page: lists side by side, and what each variant showed in numbers. Pure."""

import math
from collections.abc import Sequence

import pandas as pd

from dashboards.numbers import count, fixed, percent, plain
from experiments.slates import Example, Overlap, Place, Profile


def listed(places: Sequence[Place]) -> pd.DataFrame:
    """A list as people read it: place, title, what speaks for the item, the model's score."""
    rows = [{"#": str(p.rank), "Item": p.title, "Why": p.why, "Score": _score(p.score)} for p in places]
    return pd.DataFrame(rows, columns=["#", "Item", "Why", "Score"])


def shared_titles(example: Example) -> str:
    """How many of the shown items each other variant has as well, in a sentence."""
    shown = {place.item for place in example.shown}
    told = [
        f"{name} has {sum(place.item in shown for place in places)} of these {len(shown)} items in its list, too"
        for name, places in example.others.items()
    ]
    return "; ".join(told) + "." if told and shown else ""


def summary(profiles: Sequence[Profile]) -> pd.DataFrame:
    """One row per variant: how much it showed, how varied, how unusual."""
    rows = [
        {
            "Variant": profile.variant,
            "Slates": count(profile.slates),
            "Users": count(profile.users),
            "Different items": count(profile.distinct_items),
            "From a fallback": percent(profile.fallback),
            "Novelty (bits)": _mean(profile.novelty, 2),
            "Diversity": _mean(profile.diversity, 3),
        }
        for profile in profiles
    ]
    return pd.DataFrame(rows)


def overlap_sentence(overlap: Overlap) -> str:
    """How alike two variants are, in a sentence."""
    if not overlap.users:
        return "No user of the newest slates is known to the models, so their lists cannot be compared."
    apart = sum(share == 0 for share in overlap.shared)
    none = f" {count(apart)} of them get two lists with nothing in common." if apart else ""
    return (
        f"Asked for the same {count(overlap.users)} users, {overlap.one} and {overlap.other} share "
        f"{percent(overlap.mean, 0)} of their {overlap.k} places; {percent(overlap.same_first, 0)} of the users "
        f"get the same first item.{none}"
    )


def _score(score: float) -> str:
    return "fallback" if math.isnan(score) else plain(score, 3)


def _mean(values: Sequence[float], places: int) -> str:
    return fixed(sum(values) / len(values) if values else math.nan, places)
