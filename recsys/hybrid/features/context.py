"""Who and where somebody is: labels of the user or of the request, and how an item fares with people like that."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.compiled import compiled
from recsys.encoders.base import words_of
from recsys.encoders.parts import suggested
from recsys.hybrid.features.base import Floats, Group, Past, Rows, columns, texts
from recsys.hybrid.features.taste import label_columns
from recsys.models.base import State, likes

MOST_COLUMNS, MOST_LABELS = 6, 32
"""Columns of labels that are read, and the most frequent labels of each that are kept."""
PRIOR = 10.0
"""Users at which a lift counts half of what it seems."""


class Context(Group):
    """For each column of labels of the users: the label, and the item's lift and reach among users who have it.

    A column of `Queries.context` with the name of a user feature stands in its place for that query: a request from a
    phone is one from a phone, whatever its user has at home, and an anonymous one has a country. Other columns are
    not read: interactions do not tell the context in which they came about, so nothing could be learnt of them.
    Numeric columns of the users are one feature each.
    """

    name: ClassVar[str] = "context"
    wants: ClassVar[str] = "features of the users, such as `device` or `country`"

    def _fit(self, past: Past) -> State:
        features = past.dataset.user_features
        labelled, numeric = label_columns(features)[:MOST_COLUMNS], _numeric_columns(features)
        state: State = {"labelled": texts(labelled), "numeric": texts(numeric)}
        for name in numeric:
            state[f"numbers.{name}"] = features[name].astype(np.float32)
        liked = likes(past.dataset.interactions.csr(), "binary")
        for name in labelled:
            words = np.array(words_of(features[name]), dtype=np.str_)
            known, counts = np.unique(words[words != ""], return_counts=True)
            labels = np.sort(known[np.argsort(-counts, kind="stable")[:MOST_LABELS]])
            code = _codes(words, labels)
            has = code >= 0
            member = csr_matrix((np.ones(int(has.sum())), (np.flatnonzero(has), code[has])), (len(code), len(labels)))
            table = np.asarray((liked.T @ member).todense(), np.float64)
            share = (table.sum(axis=0) + 1) / (table.sum() + len(labels))
            lift = np.log((table + PRIOR * share) / ((table.sum(axis=1, keepdims=True) + PRIOR) * share))
            state |= {f"labels.{name}": labels, f"code.{name}": code.astype(np.int32)}
            state |= {f"lift.{name}": lift.astype(np.float32), f"reach.{name}": np.log1p(table).astype(np.float32)}
        return state

    def describe(self) -> dict[str, str]:
        """Three features a column of labels, one a numeric one."""
        found: dict[str, str] = {}
        for name in self.learnt["labelled"].tolist():
            found |= {
                f"context_{name}": f"number of the {name} of the request, or else of the user",
                f"context_{name}_lift": f"log of the item's share of users of this {name} over everybody's, smoothed",
                f"context_{name}_users": f"log(1 + users of this {name} who like the item)",
            }
        return found | {f"context_{name}": f"{name} of the request, or else of the user" for name in self._numeric()}

    def compute(self, rows: Rows) -> Floats:
        """(c, 3 n_labelled + n_numeric); NaN where the label is not known."""
        parts = []
        for name in self.learnt["labelled"].tolist():
            tables = (self.learnt[f"{table}.{name}"] for table in ("lift", "reach"))
            parts.append(compiled(_labelled)(rows.candidates.indptr, rows.item, self._code(rows, name), *tables))
        for name in self._numeric():
            own, users = self.learnt[f"numbers.{name}"], rows.queries.users
            values = np.where(users >= 0, own[users.clip(min=0)], np.nan)
            asked = np.asarray(rows.queries.context.get(name, np.nan))
            if asked.dtype.kind in "iufb":  # a text is no number, whoever sent it
                values = np.where(np.isnan(asked), values, asked)
            parts.append(columns(values[rows.query]))
        return np.hstack(parts) if parts else np.zeros((len(rows.item), 0), np.float32)

    @property
    def reads(self) -> frozenset[str]:
        """The columns of the users that a request may bring itself."""
        return frozenset(self.learnt["labelled"].tolist()) | frozenset(self._numeric())

    def _numeric(self) -> list[str]:
        names: list[str] = self.learnt["numeric"].tolist()
        return names

    def _code(self, rows: Rows, name: str) -> NDArray[np.int64]:
        """(n,) the number of each query's label, -1 for an unknown one."""
        users = rows.queries.users
        code = np.where(users >= 0, self.learnt[f"code.{name}"][users.clip(min=0)], -1).astype(np.int64)
        if name not in rows.queries.context:
            return code
        words = np.array(words_of(np.asarray(rows.queries.context[name])), dtype=np.str_)
        return np.where(words == "", code, _codes(words, self.learnt[f"labels.{name}"]))


def _labelled(
    indptr: NDArray[np.int64], items: NDArray[np.int32], code: NDArray[np.int64], lift: Floats, reach: Floats
) -> Floats:
    """(c, 3) the query's label, and of it the item's lift and reach; NaN without one."""
    found = np.full((len(items), 3), np.nan, np.float32)
    for query in range(len(code)):
        if code[query] >= 0:
            for pair in range(indptr[query], indptr[query + 1]):
                of, item = found[pair], items[pair]
                of[0], of[1], of[2] = code[query], lift[item, code[query]], reach[item, code[query]]
    return found


def _numeric_columns(features: Any) -> list[str]:
    chosen = [part["params"]["columns"] for part in suggested(features) if part["encoder"] == "attributes"]
    return [name for name in (chosen[0] if chosen else []) if features[name].dtype.kind in "iufb"][:MOST_COLUMNS]


def _codes(words: NDArray[np.str_], labels: NDArray[np.str_]) -> NDArray[np.int64]:
    """(n,) the place of each word among the sorted labels, -1 for none of them."""
    if len(labels) == 0:
        return np.full(len(words), -1, np.int64)
    place = np.searchsorted(labels, words).clip(max=len(labels) - 1)
    return np.where(labels[place] == words, place, -1).astype(np.int64)
