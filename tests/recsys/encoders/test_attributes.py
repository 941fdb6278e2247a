"""Labels and numbers by hand."""

import numpy as np
import pytest

from recsys.encoders.attributes import Attributes, on_arc, robustly_scaled

NAN = np.nan


def test_labels_between_bars_are_sets() -> None:
    genres = np.array(["Action|Comedy", "Comedy", "Comedy| Action|Comedy", "", None], object)
    vectors = Attributes(["genres"]).encode({"genres": genres}).toarray()
    half = np.sqrt(0.5)
    np.testing.assert_allclose(vectors, [[half, half], [0, 1], [half, half], [0, 0], [0, 0]])


def test_another_separator() -> None:
    vectors = Attributes(["tags"], separator=", ").encode({"tags": np.array(["a, b", "a|b"], object)})
    assert vectors.shape == (2, 3)  # a, b and the label a|b


def test_rare_labels_say_more_when_asked() -> None:
    column = {"genre": np.array(["drama|noir", "drama", "drama", "drama"], object)}
    drama, noir = Attributes(["genre"], rare_labels=True).encode(column).toarray()[0]
    assert noir / drama == pytest.approx(np.log(4) + 1)


def test_numbers_are_scaled_by_median_and_quartiles_whatever_the_outlier() -> None:
    scaled = robustly_scaled("price", np.array([1.0, 2, 3, 4, 5, 1e9, NAN]))
    np.testing.assert_allclose(scaled[:5], (np.arange(1, 6) - 3.5) / 2.5)
    assert np.isnan(scaled[6])


def test_a_flag_that_most_rows_lack_and_a_constant_are_scaled_too() -> None:
    np.testing.assert_array_equal(robustly_scaled("sale", np.array([False] * 9 + [True])), [0] * 9 + [1])
    np.testing.assert_array_equal(robustly_scaled("same", np.full(3, 7)), [0, 0, 0])
    assert np.isnan(robustly_scaled("empty", np.full(3, NAN))).all()


def test_the_cosine_of_numbers_falls_with_their_distance() -> None:
    like = (points := on_arc(np.array([0, 0, 1, -1, 2, 50, -2, NAN]))) @ points.T
    np.testing.assert_allclose(like[0, :7], [1, 1, np.sqrt(0.5), np.sqrt(0.5), 0, 0, 0], atol=1e-12)
    assert like[4, 5] == pytest.approx(1)  # beyond the reach is the end
    assert like[4, 6] == pytest.approx(-1)
    assert not points[7].any()


def test_each_column_weighs_the_same() -> None:
    features = {"labels": np.array(["a|b|c|d", "a"], object), "price": np.array([1.0, 2.0])}
    vectors = Attributes(["labels", "price"]).encode(features).toarray()
    np.testing.assert_allclose((vectors[:, :4] ** 2).sum(axis=1), 1)
    np.testing.assert_allclose((vectors[:, 4:] ** 2).sum(axis=1), 1)


def test_what_is_no_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match="'price' has an infinite number; a missing number is NaN"):
        Attributes(["price"]).encode({"price": np.array([1, np.inf])})
    with pytest.raises(ValueError, match=r"'image' .* must have one value per row, got shape \(2, 3\)"):
        Attributes(["image"]).encode({"image": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="separator"):
        Attributes(["genres"], separator="")
