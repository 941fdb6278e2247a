"""Tastes in labels: how much of a history has the labels of an item, in each column of labels (category, brand ...)."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.compiled import compiled
from recsys.encoders.base import words_of
from recsys.encoders.parts import suggested
from recsys.hybrid.features.base import Floats, Group, Past, Rows, ratio, texts
from recsys.models.base import State

MOST_COLUMNS, MOST_LABELS = 4, 256
"""Columns that are read, and the most frequent labels of each that are kept."""
SEPARATOR = "|"
FADE = 0.8
"""What a row of the history counts for each row after it, in the recent taste."""


class Taste(Group):
    """For each column of labels: the user's share, recent share and lift of the item's labels, and how set he is."""

    name: ClassVar[str] = "taste"
    wants: ClassVar[str] = "a column of labels of the items, such as `category`"

    def _fit(self, past: Past) -> State:
        names = label_columns(past.dataset.item_features)
        state: State = {"columns": texts(names)}
        users = past.dataset.interactions.item_users.astype(np.float64)
        for place, name in enumerate(names):
            shares = label_shares(past.dataset.item_features[name])
            usual = (shares.T @ users + 1) / (users.sum() + shares.shape[1])
            among = ratio(users, shares @ (shares.T @ users))
            labels, parts = _slots(shares)
            state |= {f"{place}.labels": labels, f"{place}.parts": parts}
            state |= {f"{place}.usual": usual.astype(np.float32), f"{place}.among": among.astype(np.float32)}
        return state

    def describe(self) -> dict[str, str]:
        """Seven features a column."""
        found: dict[str, str] = {}
        for name in self.learnt["columns"].tolist():
            found |= {
                f"{name}_share": f"share of the history (by weight) in the item's {name}",
                f"{name}_recent": f"the same with a row counting {FADE} for each row after it",
                f"{name}_lift": f"log of that share over everybody's share in the item's {name}, smoothed",
                f"{name}_rows": f"log(1 + rows of the history in the item's {name})",
                f"{name}_last": f"how much the item's {name} is that of the last item, 0 to 1",
                f"{name}_spread": f"how many {name} labels the history is spread over (exp of the entropy)",
                f"{name}_among": f"the item's share of the users of its {name}",
            }
        return found

    def compute(self, rows: Rows) -> Floats:
        """(c, 7 n_columns)."""
        parts = [self._column(rows, place) for place in range(len(self.learnt["columns"]))]
        return np.hstack(parts) if parts else np.zeros((len(rows.item), 0), np.float32)

    def _column(self, rows: Rows, place: int) -> Floats:
        found: Floats = compiled(_described)(
            rows.queries.indptr,
            rows.queries.items,
            rows.row_weight,
            *(self.learnt[f"{place}.{name}"] for name in ("labels", "parts", "usual", "among")),
            rows.candidates.indptr,
            rows.item,
        )
        return found


def _described(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    weight: NDArray[np.float64],
    labels: NDArray[np.int32],
    parts: Floats,
    usual: Floats,
    among: NDArray[np.floating],
    candidate_indptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
) -> Floats:
    """(c, 7) the features of each candidate in one column of labels."""
    found = np.full((len(candidates), 7), np.nan, np.float32)
    profiles = np.zeros((4, len(usual)))  # by weight, by weight and age, by rows, of the last row
    for query in range(len(indptr) - 1):
        start, stop = indptr[query], indptr[query + 1]
        profiles[:] = 0
        for row in range(start, stop):
            own = weight[row], weight[row] * FADE ** (stop - 1 - row), 1.0, 1.0 if row == stop - 1 else 0.0
            for slot in range(labels.shape[1]):
                label, part = labels[items[row], slot], parts[items[row], slot]
                for kind in range(4):
                    profiles[kind, label] += own[kind] * part
        entropy = 0.0
        for kind in range(2):
            total = profiles[kind].sum()
            for label in range(len(usual)):
                profiles[kind, label] = profiles[kind, label] / total if total > 0 else np.nan
        for label in range(len(usual)):
            if profiles[0, label] > 0:
                entropy -= profiles[0, label] * np.log(profiles[0, label])
        if start == stop:
            profiles[3] = np.nan
        spread = np.exp(entropy)
        for pair in range(candidate_indptr[query], candidate_indptr[query + 1]):
            item, expected = candidates[pair], 0.0
            share = recent = counts = last = 0.0
            for slot in range(labels.shape[1]):
                label, part = labels[item, slot], np.float64(parts[item, slot])
                expected += usual[label] * part
                share += profiles[0, label] * part
                recent += profiles[1, label] * part
                counts += profiles[2, label] * part
                last += profiles[3, label] * part
            of = found[pair]
            of[0], of[1] = share, recent
            of[2] = np.log((share + 0.05 * expected + 1e-6) / (1.05 * expected + 1e-6))
            of[3], of[4], of[5], of[6] = np.log1p(counts), last, spread, among[item]
    return found


def label_columns(features: Any) -> list[str]:
    """The columns of labels among the features: words that several rows share."""
    chosen = [part["params"]["columns"] for part in suggested(features) if part["encoder"] == "attributes"]
    return [name for name in (chosen[0] if chosen else []) if features[name].dtype.kind in "OUS"][:MOST_COLUMNS]


def label_shares(column: NDArray[Any]) -> Floats:
    """(n, n_labels) the share of each label in each cell: `a|b` is half a, half b. Empty cells are rows of zeros."""
    cells = words_of(column)
    pairs = [(row, label.strip()) for row, cell in enumerate(cells) for label in set(cell.split(SEPARATOR))]
    kept = [(row, label) for row, label in pairs if label]
    if not kept:
        return np.zeros((len(cells), 1), np.float32)
    labels, number = np.unique([label for _, label in kept], return_inverse=True)
    row = np.array([row for row, _ in kept])
    frequent = np.argsort(-np.bincount(number), kind="stable")[:MOST_LABELS]
    matrix = csr_matrix((np.ones(len(row), np.float32), (row, number)), shape=(len(cells), len(labels)))
    dense: Floats = matrix[:, np.sort(frequent)].toarray()
    return np.asarray(dense / dense.sum(axis=1, keepdims=True).clip(min=1), np.float32)


def _slots(shares: Floats) -> tuple[NDArray[np.int32], Floats]:
    """(n, most labels of a row) the labels of each row and their shares; 0 and 0 in the places left over."""
    width = max(1, int((shares > 0).sum(axis=1).max(initial=0)))
    labels = np.argsort(-shares, axis=1, kind="stable")[:, :width].astype(np.int32)
    parts = np.take_along_axis(shares, labels, axis=1)
    return np.where(parts > 0, labels, 0).astype(np.int32), parts
