"""The graph of users and items: paths from a history over other people's histories, and over what came next."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.compiled import compiled
from recsys.data.interactions import Interactions
from recsys.hybrid.features.base import Floats, Group, Past, Rows
from recsys.models.base import State, likes
from recsys.models.sparse import cosines, nearest, rows_of

NEIGHBOURS = 100
"""Kept for each item, by either side of the pair."""
FADE = 0.85
"""What a row of the history counts for each row after it."""
STEPS, STEP_FADE = 3, 0.6
"""How many rows later an item still counts as what came next, and what each further row takes from it."""
PRIOR = 5.0
"""Rows that a share of what came next is smoothed by."""


class Graph(Group):
    """Common neighbours, paths and successions between the history and the item.

    An edge of two items is the cosine of their sets of users; paths count the users that a history's items and the
    item have in common. An arc is the smoothed share of the rows after one item that are the other.
    """

    name: ClassVar[str] = "graph"

    def _fit(self, past: Past) -> State:
        liked = likes(past.dataset.interactions.csr(), "binary")
        items = liked.T.tocsr()
        root = np.sqrt(np.diff(items.indptr)).astype(np.float32)
        kept = nearest(items, liked.tocsr(), NEIGHBOURS, cosines(root, root))
        edges = csr_matrix(kept.maximum(kept.T))
        arcs = _arcs(past.dataset.interactions)
        degree = np.log1p(np.asarray(edges.sum(axis=1), np.float32).ravel())
        return _cells("edges", edges) | _cells("arcs", arcs) | {"root": root, "degree": degree}

    def describe(self) -> dict[str, str]:
        """Eleven features."""
        return {
            "graph_sum": "sum over the history of the cosines with the item (of their sets of users)",
            "graph_mean": "mean over the history of the cosines with the item (of their sets of users)",
            "graph_recent": f"sum of the cosines with the history, a row counting {FADE} for each row after it",
            "graph_max": "largest cosine of the item with any of the history (of their sets of users)",
            "graph_last": "cosine of the item with the last one",
            "graph_linked": "share of the history that has a user in common with the item",
            "graph_paths": "log(1 + paths history, other user, item)",
            "graph_degree": "log(1 + sum of the item's cosines with its neighbours)",
            "next_last": "smoothed share of what came after the last item that is the item",
            "next_recent": f"sum over the history of the shares of what came after that is the item, fading by {FADE}",
            "next_max": "largest share of what came after any of the history that is the item",
        }

    def compute(self, rows: Rows) -> Floats:
        """(c, 11); 0 where no path leads from the history to the item, NaN without a history."""
        found: Floats = compiled(_described)(
            self._walk(rows, "edges"),
            self._walk(rows, "arcs"),
            rows.length,
            self.learnt["root"],
            self.learnt["degree"],
            rows.candidates.indptr,
            rows.item,
        )
        return found

    def _walk(self, rows: Rows, kind: str) -> Floats:
        walk = compiled(_walk)
        found: Floats = walk(
            rows.queries.indptr,
            rows.queries.items,
            (FADE**rows.row_age).astype(np.float32),
            self.learnt[f"{kind}.indptr"],
            self.learnt[f"{kind}.indices"],
            self.learnt[f"{kind}.data"],
            self.learnt["root"],
            rows.candidates.indptr,
            rows.item,
        )
        return found


def _cells(name: str, matrix: csr_matrix) -> State:
    matrix.sort_indices()
    data = matrix.data.astype(np.float32)
    return {f"{name}.indptr": matrix.indptr, f"{name}.indices": matrix.indices.astype(np.int32), f"{name}.data": data}


def _arcs(rows: Interactions) -> csr_matrix:
    """(n_items, n_items) smoothed share of what came up to STEPS rows after an item; only rows of weight > 0 count."""
    order, _ = rows.by_user
    order = order[rows.weight[order] > 0]
    user, item = rows.user[order], rows.item[order]
    matrix = csr_matrix((rows.n_items, rows.n_items), dtype=np.float64)
    for step in range(1, STEPS + 1):
        before, after = item[:-step], item[step:]
        pair = (user[:-step] == user[step:]) & (before != after)
        counts = np.full(int(pair.sum()), STEP_FADE ** (step - 1))
        matrix = matrix + csr_matrix((counts, (before[pair], after[pair])), shape=matrix.shape)
    matrix = csr_matrix(matrix)
    matrix.data /= np.asarray(matrix.sum(axis=1)).ravel()[rows_of(matrix)] + PRIOR
    return matrix


def _walk(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    fade: NDArray[np.float32],
    edge_indptr: NDArray[np.integer],
    edge_items: NDArray[np.int32],
    edges: NDArray[np.float32],
    root: NDArray[np.float32],
    candidate_indptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
) -> NDArray[np.float32]:
    """(c, 6) sum, fading sum, maximum, last, count and sum by root of the edges from each history to its candidates."""
    found = np.zeros((len(candidates), 6), np.float32)
    row_of = np.full(len(edge_indptr) - 1, -1, np.int32)
    for query in range(len(indptr) - 1):
        for place in range(candidate_indptr[query], candidate_indptr[query + 1]):
            row_of[candidates[place]] = place
        stop = indptr[query + 1]
        for row in range(indptr[query], stop):
            item = items[row]
            for cell in range(edge_indptr[item], edge_indptr[item + 1]):
                place = row_of[edge_items[cell]]
                if place < 0:
                    continue
                at, edge = found[place], edges[cell]
                at[0] += edge
                at[1] += edge * fade[row]
                at[2] = max(at[2], edge)
                if row == stop - 1:
                    at[3] = edge
                at[4] += 1
                at[5] += edge * root[item]
        for place in range(candidate_indptr[query], candidate_indptr[query + 1]):
            row_of[candidates[place]] = -1
    return found


def _described(
    edges: NDArray[np.float32],
    arcs: NDArray[np.float32],
    length: NDArray[np.int64],
    root: NDArray[np.float32],
    degree: NDArray[np.float32],
    candidate_indptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
) -> NDArray[np.float32]:
    """(c, 11) the features, of what the walks over edges and arcs found."""
    found = np.full((len(candidates), 11), np.nan, np.float32)
    for query in range(len(length)):
        for pair in range(candidate_indptr[query], candidate_indptr[query + 1]):
            of, edge, arc, item = found[pair], edges[pair], arcs[pair], candidates[pair]
            of[7] = degree[item]
            if length[query] == 0:
                continue
            of[0], of[1], of[2], of[3], of[4] = edge[0], edge[0] / length[query], edge[1], edge[2], edge[3]
            of[5], of[6] = edge[4] / length[query], np.log1p(edge[5] * root[item])
            of[8], of[9], of[10] = arc[3], arc[1], arc[2]
    return found
