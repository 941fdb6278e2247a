"""TF-IDF: a text as its words, the more of a say the fewer texts use them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_matrix

from recsys.data.dataset import Features
from recsys.data.parameters import check_whole
from recsys.encoders.base import Encoder, texts_of


@dataclass(frozen=True)
class TfIdf(Encoder):
    """(1 + log(count)) * idf per word of the columns together, rows of unit length; by scikit-learn.

    ngrams: runs of up to so many words are words too; min_items: words of fewer rows are left out.
    """

    name: ClassVar[str] = "tfidf"

    ngrams: int = 1
    min_items: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ngrams", "min_items"):
            check_whole(f"{name} of encoder 'tfidf'", getattr(self, name), 1)

    def _encode(self, features: Features) -> csr_matrix:
        try:
            from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
        except ModuleNotFoundError as missing:
            raise ImportError("encoder 'tfidf' needs scikit-learn: pip install 'bakeoff[train]'") from missing
        texts = texts_of(features)
        words = CountVectorizer(strip_accents="unicode", ngram_range=(1, self.ngrams))
        if not any(map(words.build_analyzer(), texts)):
            return csr_matrix((len(texts), 1), dtype=np.float64)
        counts = csr_matrix(words.fit_transform(texts), dtype=np.float64)
        counts = counts[:, counts.getnnz(axis=0) >= self.min_items]
        if counts.shape[1] == 0:
            return csr_matrix((len(texts), 1), dtype=np.float64)
        return csr_matrix(TfidfTransformer(sublinear_tf=True).fit_transform(counts))
