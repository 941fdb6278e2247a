"""Package: a fitted model with all that serving it takes, in one folder. What MLflow keeps and the simulator asks."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bakeoff import durable
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.data.vocabulary import Vocabulary
from recsys.models import base
from recsys.models.base import Recommender
from recsys.recommend import recommend


@dataclass(frozen=True, kw_only=True, eq=False)
class Package:
    """A model, its fallback, the vocabularies and the users' histories: answers for any id, known or not.

    titles: (n_items,) what people are shown for each item; the ids when the data has none.
    """

    model: Recommender
    fallback: Recommender
    users: Vocabulary
    items: Vocabulary
    histories: Interactions
    titles: NDArray[np.str_]

    def recommend(self, users: Sequence[str] | NDArray[np.str_], k: int = 10) -> Recommendations:
        """The k best unseen items for each outside user id; an unknown one gets the fallback's."""
        return self.answer(self.users.numbers(users), k)

    def answer(self, users: NDArray[np.int32], k: int) -> Recommendations:
        """The same for user numbers, -1 for an unknown user."""
        return recommend(self.model, Queries.of(self.histories, users), k, fallback=self.fallback)

    def table(self, users: Sequence[str], k: int = 10) -> pa.Table:
        """For the outside: columns user, rank, item, title, score; unknown users keep the id they were asked by."""
        lists = self.recommend(users, k)
        query, place = np.nonzero(lists.items >= 0)
        item = lists.items[query, place]
        return pa.table(
            {
                "user": pa.array(np.asarray(users, dtype=np.str_)[query].tolist(), pa.string()),
                "rank": pa.array((place + 1).astype(np.int64)),
                "item": pa.array(self.items.ids[item].tolist(), pa.string()),
                "title": pa.array(self.titles[item].tolist(), pa.string()),
                "score": pa.array(lists.scores[query, place].astype(np.float64)),
            }
        )

    def observe(self, events: Interactions) -> "Package":
        """The package with new events in the histories; the model stays as it was fitted."""
        return replace(self, histories=self.histories + events)

    def save(self, folder: Path) -> None:
        """Write everything under `folder`: JSON and arrays, no pickle."""
        base.save(self.model, folder / "model")
        base.save(self.fallback, folder / "fallback")
        rows = self.histories
        columns: dict[str, NDArray[Any]] = {
            "users": self.users.ids,
            "items": self.items.ids,
            "titles": self.titles,
            "user": rows.user,
            "item": rows.item,
            "weight": rows.weight,
            "time": rows.time.astype(np.int64),
            "kind": rows.kind,
        }
        arrays = io.BytesIO()
        np.savez_compressed(arrays, allow_pickle=False, **columns)
        durable.write_bytes(folder / "histories.npz", arrays.getvalue())
        durable.write_bytes(folder / "package.json", json.dumps({"format": 1, "kinds": rows.kinds}).encode())

    @classmethod
    def load(cls, folder: Path) -> "Package":
        """Read back what `save` wrote."""
        description = json.loads((folder / "package.json").read_text())
        if description["format"] != 1:
            raise ValueError(
                f"{folder} has package format {description['format']}, this version reads 1; upgrade bakeoff"
            )
        with np.load(folder / "histories.npz", allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        users, items = Vocabulary(columns["users"]), Vocabulary(columns["items"])
        histories = Interactions(
            user=columns["user"],
            item=columns["item"],
            weight=columns["weight"],
            time=columns["time"].astype("datetime64[s]"),
            kind=columns["kind"],
            kinds=tuple(description["kinds"]),
            n_users=len(users),
            n_items=len(items),
        )
        return cls(
            model=_loaded(folder / "model", histories),
            fallback=_loaded(folder / "fallback", histories),
            users=users,
            items=items,
            histories=histories,
            titles=columns["titles"],
        )


def _loaded(folder: Path, histories: Interactions) -> Recommender:
    """The model, refused when it was fitted on another number of items than there are names for."""
    model = base.load(folder)
    n_items = model.score(Queries.of(histories, np.empty(0, np.int32))).shape[1]
    if n_items != histories.n_items:
        raise ValueError(
            f"the model in {folder} scores {n_items} items, the vocabulary beside it names {histories.n_items}; "
            "the folder is of two packages: take the whole of one"
        )
    return model
