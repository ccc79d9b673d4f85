"""Plain names for segments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.release.names import feature_words, segment_names

RFM = ("recency_days", "orders", "net_spend")


def test_names_say_what_sets_a_segment_apart_from_the_mean():
    centres = np.array([[-0.8, 0.6, 0.7], [0.5, -0.5, -0.4], [-0.7, -0.5, -0.4]])
    assert segment_names(centres, [10, 10, 10], RFM) == [
        "Recent, frequent, high spend",
        "Lapsed, infrequent, low spend",
        "Recent, infrequent, low spend",
    ]


def test_the_mean_is_weighted_by_size():
    centres = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]])
    assert segment_names(centres, [990, 10], RFM) == ["Average", "Low spend"]
    assert segment_names(centres, [10, 990], RFM) == ["High spend", "Average"]


def test_features_far_weaker_than_the_strongest_are_left_out():
    centres = np.array([[-0.9, 0.1, 0.0], [0.9, -0.1, 0.0]])
    assert segment_names(centres, [1, 1], RFM) == ["Recent", "Lapsed"]


def test_at_most_three_features_are_named_when_that_is_enough():
    features = ("recency_days", "orders", "net_spend", "items_per_order", "tenure_days")
    centres = np.array([[-0.5, 0.6, 0.7, 0.4, 0.3], [0.5, -0.6, -0.7, -0.4, -0.3]])
    names = segment_names(centres, [1, 1], features)
    assert names == ["Recent, frequent, high spend", "Lapsed, infrequent, low spend"]


def test_segments_that_differ_only_in_degree_are_compared():
    centres = np.array([[0.0, 0.0, 0.9], [0.0, 0.0, 0.5], [0.0, 0.0, -0.7]])
    assert segment_names(centres, [1, 1, 2], RFM) == [
        "High spend (higher spend)",
        "High spend (lower spend)",
        "Low spend",
    ]


def test_comparisons_speak_the_feature_s_own_words():
    centres = np.array([[-0.9, 0.0, 0.0], [-0.5, 0.0, 0.0], [0.7, 0.0, 0.0]])
    assert segment_names(centres, [1, 1, 2], RFM)[:2] == [
        "Recent (more recent)",
        "Recent (less recent)",
    ]


def test_more_words_are_used_only_where_they_tell_segments_apart():
    features = ("recency_days", "orders", "net_spend", "items_per_order", "tenure_days")
    apart = np.array(
        [[-0.6, 0.6, 0.6, 0.3, 0.0], [-0.6, 0.6, 0.6, -0.3, 0.0], [0.6, -0.6, -0.6, 0.0, 0.0]]
    )
    assert segment_names(apart, [1, 1, 2], features)[:2] == [
        "Recent, frequent, high spend, large baskets",
        "Recent, frequent, high spend, small baskets",
    ]
    alike = np.array(
        [[-0.6, 0.6, 0.9, 0.3, 0.0], [-0.6, 0.6, 0.6, 0.3, 0.0], [0.6, -0.6, -0.7, -0.3, 0.0]]
    )
    assert segment_names(alike, [1, 1, 2], features)[:2] == [
        "Recent, frequent, high spend (higher spend)",
        "Recent, frequent, high spend (lower spend)",
    ]


def test_three_segments_of_one_wording_are_ranked():
    centres = np.array([[0.0, 0.0, v] for v in (0.5, 0.7, 0.9, -1.0)])
    assert segment_names(centres, [1, 1, 1, 5], RFM)[:3] == [
        "High spend (spend rank 3 of 3)",
        "High spend (spend rank 2 of 3)",
        "High spend (spend rank 1 of 3)",
    ]


def test_equal_centres_are_numbered():
    centres = np.zeros((3, 3))
    assert segment_names(centres, [5, 5, 5], RFM) == ["Average · 1", "Average · 2", "Average · 3"]


def test_two_features_of_one_kind_go_by_their_own_names():
    centres = np.array([[0.5, -0.5], [-0.5, 0.5]])
    assert segment_names(centres, [1, 1], ("net_spend", "card_spend")) == [
        "High net spend, low card spend",
        "Low net spend, high card spend",
    ]


def test_degenerate_releases_have_names_too():
    assert segment_names(np.zeros((0, 3)), [], RFM) == []
    assert segment_names(np.zeros((1, 3)), [9], RFM) == ["All customers"]
    assert segment_names(np.zeros((2, 0)), [1, 1], []) == ["Average · 1", "Average · 2"]
    assert segment_names(np.array([[0.5], [-0.5]]), [0, 0], ["x"]) == ["High x", "Low x"]


def test_with_clusters_withheld_no_name_speaks_of_all_customers():
    assert segment_names(np.zeros((1, 3)), [9], RFM, complete=False) == ["The released segment"]
    centres = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]])
    assert segment_names(centres, [990, 10], RFM, complete=False) == [
        "Average of the released",
        "Low spend",
    ]
    assert segment_names(centres, [1, 1], RFM, complete=False) == ["High spend", "Low spend"]


def test_features_without_known_words_are_low_or_high():
    assert feature_words("x7").high == "high x7"
    assert feature_words("").noun == "value"


@pytest.mark.parametrize(
    ("centres", "sizes", "features"),
    [
        (np.zeros((2, 3)), [1], RFM),
        (np.zeros((2, 3)), [1, 1], RFM[:2]),
        (np.zeros(3), [1, 1, 1], RFM),
    ],
)
def test_shapes_that_do_not_fit_are_refused(centres, sizes, features):
    with pytest.raises(ValueError, match="do not fit"):
        segment_names(centres, sizes, features)


@given(st.data())
def test_names_are_distinct_filled_and_the_same_every_time(data):
    k, d = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 8))
    value = st.sampled_from([-1.0, -0.3, -0.05, 0.0, 0.0, 0.05, 0.3, 1.0])
    centres = np.array(data.draw(st.lists(value, min_size=k * d, max_size=k * d))).reshape(k, d)
    sizes = data.draw(st.lists(st.integers(0, 50), min_size=k, max_size=k))
    known = [*RFM, "items_per_order", "tenure_days", "spend", "x · 1", "average"]
    features = data.draw(st.lists(st.sampled_from(known), min_size=d, max_size=d))
    names = segment_names(centres, sizes, features)
    assert len(set(names)) == len(names) == k
    assert all(name and name[0] == name[0].upper() for name in names)
    assert names == segment_names(centres.copy(), list(sizes), list(features))
