"""What users saw: the newest slates of the log, told apart by variant, and what another variant would have shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from abtest.events import lake
from experiments.package import Package
from experiments.reasons import history_of, reasons
from recsys.data.interactions import Interactions
from recsys.data.sources.loaded import Loaded
from recsys.data.vocabulary import Vocabulary
from recsys.metrics.beyond_accuracy import diversity, novelty
from recsys.metrics.item_vectors import LABEL_COLUMNS, collaborative_vectors, item_vectors
from recsys.metrics.judged import Judged

TIERS = (("most popular 1%", 0.01), ("next 9%", 0.10), ("next 40%", 0.50), ("least popular half", 1.0))
"""Parts of the catalogue by popularity: name, and the share of items up to its end."""
UNKNOWN = "unknown"
REMEMBERED = 6
"""Titles of a user's history that are shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """What is known of the items: titles, categories and vectors have a row per item; None where there are none.

    histories: who touched what before the experiment, for popularity; origin: what the vectors were made of.
    """

    items: Vocabulary
    titles: NDArray[np.str_]
    histories: Interactions
    vectors: NDArray[np.float64]
    origin: str
    categories: NDArray[np.str_] | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one variant showed, over `slates` slates.

    categories, tiers: name -> share of the places shown; novelty, diversity: one value per slate, NaN left out.
    """

    variant: str
    slates: int
    users: int
    distinct_items: int
    fallback: float
    categories: Mapping[str, float]
    tiers: Mapping[str, float]
    novelty: tuple[float, ...]
    diversity: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """One item of a list; score: the model's, NaN where a fallback filled the place; why: what speaks for it."""

    rank: int
    item: str
    title: str
    score: float
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A slate as one user was shown it, what the other variants give the same user, and what was known of him.

    others: variant -> its list for him, asked of the registered model with the history of its training; history: the
    titles he touched last, newest first.
    """

    unit: str
    variant: str
    at: datetime
    fallback: bool
    shown: tuple[Place, ...]
    others: Mapping[str, tuple[Place, ...]]
    history: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How alike two variants' lists of k are for the same users.

    shared: for each user the share of the k places that both lists fill with the same items; same_first: the share of
    users whose first item is the same.
    """

    one: str
    other: str
    k: int
    users: int
    shared: tuple[float, ...]
    same_first: float

    @property
    def mean(self) -> float:
        """The mean share over users; NaN for none."""
        return float(np.mean(self.shared)) if self.shared else float("nan")


def catalogue_of(package: Package, data: Loaded | None) -> Catalogue:
    """What is known of a package's items: from the data set it was made of, else from its histories alone."""
    if data is None or data.dataset.items.fingerprint != package.items.fingerprint:
        return Catalogue(
            items=package.items,
            titles=package.titles,
            histories=package.histories,
            vectors=collaborative_vectors(package.histories),
            origin="who touched what",
        )
    features = data.dataset.item_features
    labels = next((features[name] for name in LABEL_COLUMNS if name in features), None)
    vectors = item_vectors(data.dataset)
    return Catalogue(
        items=package.items,
        titles=package.titles,
        histories=package.histories,
        vectors=vectors.values,
        origin=vectors.origin,
        categories=None if labels is None else np.array([first_label(cell) for cell in labels.tolist()]),
    )


def first_label(cell: object) -> str:
    """The first label of a cell such as `Action|Comedy`; "unknown" for none.

    >>> first_label("Action|Comedy"), first_label(None)
    ('Action', 'unknown')
    """
    label = str(cell).partition("|")[0].strip() if isinstance(cell, str) else ""
    return label or UNKNOWN


def newest(folder: Path, experiment: str, enough: int = 4_000) -> pa.Table:
    """The newest `enough` slates of an experiment in the lake, oldest first; fewer when there are no more."""
    parts: list[pa.Table] = []
    for path in reversed(lake.files(folder, "exposures")):
        table = pq.read_table(path, filters=pc.field("experiment") == experiment, partitioning=None)
        parts.insert(0, table)
        if sum(len(part) for part in parts) >= enough:
            break
    together = pa.concat_tables(parts) if parts else pa.table({})
    return together.slice(max(len(together) - enough, 0))


def profiles(slates: pa.Table, variants: Sequence[str], catalogue: Catalogue, categories: int = 10) -> list[Profile]:
    """What each variant showed, in the order of `variants`; the commonest categories by name, the rest as "other"."""
    if not len(slates):
        return []
    numbers, fallback = numbers_of(slates, catalogue.items), fallbacks(slates)
    of, units = slates["variant"].to_numpy(zero_copy_only=False), slates["unit"].to_numpy(zero_copy_only=False)
    kept = _commonest(numbers, catalogue, categories)
    tier = _tiers(catalogue)
    found = []
    for variant in variants:
        mine = of == variant
        rows = numbers[mine]
        judged = _judged(rows, catalogue)
        found.append(
            Profile(
                variant=variant,
                slates=int(mine.sum()),
                users=len(set(units[mine])),
                distinct_items=len(np.unique(rows[rows >= 0])),
                fallback=float(fallback[mine].mean()) if mine.any() else float("nan"),
                categories=_category_shares(rows, catalogue, kept),
                tiers=_shares(tier[rows[rows >= 0]], [name for name, _ in TIERS]),
                novelty=_finite(novelty(judged, max(rows.shape[1], 1))),
                diversity=_finite(diversity(judged, max(rows.shape[1], 1))),
            )
        )
    return found


def example(slates: pa.Table, unit: str, packages: Mapping[str, Package], catalogue: Catalogue) -> Example:
    """The newest slate that a user was shown, beside what each other variant gives him."""
    rows = slates.filter(pc.equal(slates["unit"], unit))
    if not len(rows):
        raise LookupError(f"user {unit!r} has none of the newest slates; choose one of the list")
    row = rows.slice(len(rows) - 1).to_pylist()[0]
    scored = _scored(row)
    told = reasons(packages[row["variant"]], unit, [item for item, _ in scored])
    places = tuple(
        Place(rank=rank, item=item, title=title_of(catalogue, item), score=score, why=why)
        for rank, ((item, score), why) in enumerate(zip(scored, told, strict=True), start=1)
    )
    control = next(iter(packages.values()))
    return Example(
        unit=unit,
        variant=row["variant"],
        at=row["at"],
        fallback=bool(fallbacks(rows)[-1]),
        shown=places,
        others={
            name: answered(package, unit, max(len(places), 1))
            for name, package in packages.items()
            if name != row["variant"]
        },
        history=tuple(control.titles[history_of(control, unit)[:REMEMBERED]].tolist()),
    )


def overlap(one: str, other: str, packages: Mapping[str, Package], users: Sequence[str], k: int = 10) -> Overlap:
    """How alike the lists of two variants are; both registered models are asked for the same users."""
    lists = [packages[name].recommend(users, k).items for name in (one, other)]
    # a variant trained on later data may number its items otherwise: ids are compared
    named = [_named(packages[name].items.ids, items) for name, items in zip((one, other), lists, strict=True)]
    same = [len(set(a) & set(b) - {""}) / k for a, b in zip(*(rows.tolist() for rows in named), strict=True)]
    first = (named[0][:, 0] == named[1][:, 0]) & (named[0][:, 0] != "") if len(users) else np.zeros(0, np.bool_)
    return Overlap(
        one=one,
        other=other,
        k=k,
        users=len(users),
        shared=tuple(same),
        same_first=float(first.mean()) if len(users) else float("nan"),
    )


def answered(package: Package, unit: str, k: int) -> tuple[Place, ...]:
    """A package's list for one user, asked now."""
    rows = package.table([unit], k).to_pylist()
    told = reasons(package, unit, [row["item"] for row in rows])
    return tuple(
        Place(rank=row["rank"], item=row["item"], title=row["title"], score=row["score"], why=why)
        for row, why in zip(rows, told, strict=True)
    )


def users_of(slates: pa.Table, package: Package, most: int) -> list[str]:
    """Users with one of these slates whose history the package knows, newest slate first, each once."""
    if not len(slates):
        return []
    units = list(dict.fromkeys(reversed(slates["unit"].to_pylist())))
    known = package.users.numbers(units) >= 0
    return [unit for unit, here in zip(units, known.tolist(), strict=True) if here][:most]


def title_of(catalogue: Catalogue, item: str) -> str:
    """What people are shown for an outside id; the id itself where the catalogue does not know it."""
    number = int(catalogue.items.numbers([item])[0])
    return item if number < 0 else str(catalogue.titles[number])


def numbers_of(slates: pa.Table, items: Vocabulary) -> NDArray[np.int32]:
    """(n, longest) the items of each slate as numbers, -1 where there is none or it is unknown."""
    lists = slates["items"].combine_chunks()
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0))
    flat = items.numbers(np.asarray(lists.flatten().to_pylist(), dtype=np.str_))
    numbers = np.full((len(lengths), int(lengths.max(initial=0))), -1, np.int32)
    numbers[np.arange(numbers.shape[1]) < lengths[:, None]] = flat
    return numbers


def fallbacks(slates: pa.Table) -> NDArray[np.bool_]:
    """(n,) whether the context of each slate says that a fallback filled it, or a part of it."""
    context = pc.fill_null(slates["context"], "")
    spelled = [pc.match_substring(context, text) for text in ('"fallback":true', '"fallback": true')]
    return np.asarray(pc.or_(*spelled).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _judged(rows: NDArray[np.int32], catalogue: Catalogue) -> Judged:
    """The slates as the offline metrics read lists, with nothing to find: novelty and diversity ask for no truth."""
    n = len(rows)
    # unknown items in the middle would read as places, so they go to the end
    order = np.argsort(rows < 0, axis=1, kind="stable")
    return Judged(
        items=np.take_along_axis(rows, order, axis=1),
        hits=np.zeros(rows.shape, np.bool_),
        n_relevant=np.zeros(n, np.int64),
        seen=catalogue.histories,
        item_vectors=catalogue.vectors,
    )


def _tiers(catalogue: Catalogue) -> NDArray[np.str_]:
    """(n_items,) the tier of each item; ties in popularity are broken by item number."""
    order = np.argsort(-catalogue.histories.item_users, kind="stable")
    place = np.empty(len(order))
    place[order] = (np.arange(len(order)) + 0.5) / max(len(order), 1)
    return np.array([name for name, _ in TIERS])[np.searchsorted([end for _, end in TIERS], place)]


def _commonest(numbers: NDArray[np.int32], catalogue: Catalogue, n: int) -> list[str]:
    if catalogue.categories is None:
        return []
    names, counts = np.unique(catalogue.categories[numbers[numbers >= 0]], return_counts=True)
    return [str(name) for name in names[np.lexsort((names, -counts))][:n]]


def _category_shares(rows: NDArray[np.int32], catalogue: Catalogue, kept: list[str]) -> dict[str, float]:
    if catalogue.categories is None:
        return {}
    shown = catalogue.categories[rows[rows >= 0]]
    return _shares(np.where(np.isin(shown, kept), shown, "other"), [*kept, "other"])


def _shares(values: NDArray[np.str_], names: Sequence[str]) -> dict[str, float]:
    return {name: float((values == name).mean()) if len(values) else float("nan") for name in names}


def _finite(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values[np.isfinite(values)].tolist())


def _scored(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    items, scores = row["items"] or [], row["scores"] or []
    padded = [*scores, *[None] * (len(items) - len(scores))]
    return [(item, float("nan") if score is None else float(score)) for item, score in zip(items, padded, strict=True)]


def _named(ids: NDArray[np.str_], items: NDArray[np.int32]) -> NDArray[np.str_]:
    return np.where(items >= 0, ids[items], "")
