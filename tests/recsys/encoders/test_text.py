"""What TF-IDF and the sentence model see in a text."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from recsys.encoders.base import create
from recsys.encoders.tfidf import TfIdf


def test_tfidf_by_hand() -> None:
    vectors = TfIdf(["title"]).encode({"title": np.array(["pan pan", "pan pot"], object)}).toarray()
    rare = np.log(3 / 2) + 1  # the smoothed idf of a word in one of two texts; a word in both counts 1
    np.testing.assert_allclose(vectors, [[1, 0], [1 / np.hypot(1, rare), rare / np.hypot(1, rare)]])


def test_words_of_few_items_are_left_out_and_runs_of_words_count_when_asked() -> None:
    column = {"title": np.array(["red shoes", "red hat", "hat"], object)}
    assert TfIdf(["title"], min_items=2).encode(column).shape == (3, 2)
    assert TfIdf(["title"], ngrams=2).encode(column).shape == (3, 5)
    assert not TfIdf(["title"], min_items=4).encode(column).toarray().any()


@pytest.mark.parametrize("params", [{"ngrams": 0}, {"min_items": 1.5}])
def test_parameters_of_tfidf_are_checked(params: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be an integer >= 1"):
        create("tfidf", columns=["title"], **params)


def test_sentences_that_mean_alike_are_alike_without_a_word_in_common(installed: Callable[[str], None]) -> None:
    installed("sentence_transformers")
    texts = {"t": np.array(["A film about outer space", "Astronauts travel to Mars", "Baking bread at home"], object)}
    vectors = np.asarray(create("sentence", columns=["t"], batch=2).encode(texts))
    words = TfIdf(["t"]).encode(texts).toarray()
    assert words[0] @ words[1] == 0
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_the_number_of_threads_of_torch_is_put_back(installed: Callable[[str], None]) -> None:
    installed("sentence_transformers")
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        create("sentence", columns=["t"]).encode({"t": np.array(["a text"], object)})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_missing_library_is_said_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for library, encoder, extra in (
        ("sentence_transformers", "sentence", "sentence"),
        ("sklearn.feature_extraction.text", "tfidf", "train"),
    ):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(ImportError, match=rf"encoder '{encoder}' needs .*pip install 'bakeoff\[{extra}\]'"):
            create(encoder, columns=["t"]).encode({"t": np.array(["a text"], object)})
