"""Splits have exact sizes, and every label is spread over them as evenly as its count allows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from voc_tfdata.convert.splits import check_disjoint, check_split_name, parse_ratios, split_sizes, stratify

DEFAULT = {"train": 0.7, "val": 0.2, "test": 0.1}


def test_ratios_are_parsed_in_their_order() -> None:
    assert parse_ratios("train=0.7, val=0.2,test=.1") == DEFAULT
    assert list(parse_ratios("b=0.5,a=0.5")) == ["b", "a"]
    assert parse_ratios("all=1") == {"all": 1.0}
    assert parse_ratios(",".join(f"s{k}=0.1" for k in range(10)))["s9"] == 0.1  # the sum is 0.9999999999999999


@pytest.mark.parametrize(
    "text, message",
    [
        ("train=0.7,val=0.2", "add up to 0.9, not to 1"),
        ("train=0.7,val=0.4", "add up to 1.1"),
        ("train=0.5,train=0.5", "'train' is listed twice"),
        ("train=1.2,val=-0.2", "share of 'train' must be above 0 and at most 1"),
        ("train=1,val=0", "share of 'val' must be above 0"),
        ("train=nan", "share of 'train'"),
        ("train", "'train' is not of the form train=0.7"),
        ("train=a", "'train=a' is not of the form"),
        ("=1", "split name ''"),
        ("a/b=1", "split name 'a/b': letters, digits"),
        ("train=0.5,,val=0.5", "split name ''"),
    ],
)
def test_wrong_ratios_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_ratios(text)


@pytest.mark.parametrize("name", ["", "a+b", "a b", "../x", ".hidden", "a/b", "a\n"])
def test_split_names_must_suit_file_names_and_unions(name: str) -> None:
    with pytest.raises(ValueError, match="split name"):
        check_split_name(name)


# Shares rounded by largest remainder, no split empty while there are images for all:
#   10: 7 2 1;  11: 7.7 2.2 1.1 -> 7 2 1 and the one left to .7;  5: 3.5 1 0.5 -> 3 1 and 1, the least;
#   3: 2.1 0.6 0.3 -> one each;  1: the first
@pytest.mark.parametrize(
    "num_images, sizes",
    [(10, (7, 2, 1)), (11, (8, 2, 1)), (5, (3, 1, 1)), (3, (1, 1, 1)), (1, (1, 0, 0)), (0, (0, 0, 0))]
    + [(1100, (770, 220, 110)), (17125, (11988, 3425, 1712))],  # 11987.5 3425 1712.5: a tie goes to the first
)
def test_split_sizes_are_rounded_shares(num_images: int, sizes: tuple[int, int, int]) -> None:
    assert tuple(split_sizes(num_images, DEFAULT).values()) == sizes


def rare_labels(seed: int = 0) -> np.ndarray:
    """Returns labels of 200 images: in all of them, in 100, 40, 10 and 3 of them."""
    labels = np.zeros((200, 5), np.uint8)
    random = np.random.RandomState(seed)
    for k, count in enumerate((200, 100, 40, 10, 3)):
        labels[random.permutation(200)[:count], k] = 1
    return labels


def deal(labels: np.ndarray, sizes: dict[str, int], seed: int) -> tuple[list[int], np.ndarray]:
    """Returns the images of each split, and how many have each label [splits, C]; none is lost."""
    label_sets = Counter(row.astype(np.uint8).tobytes() for row in labels)
    dealt = stratify(label_sets, sizes, seed=seed)
    assert {key: sum(counts) for key, counts in dealt.items()} == label_sets
    assert all(min(counts) >= 0 for counts in dealt.values())
    counts = np.array(list(dealt.values()))  # [sets, splits]
    return counts.sum(axis=0).tolist(), counts.T @ np.array([list(key) for key in dealt])


@pytest.mark.parametrize("seed", range(10))
def test_every_label_is_within_one_image_of_its_share_in_every_split(seed: int) -> None:
    sizes, counts = deal(rare_labels(seed), {"train": 140, "val": 40, "test": 20}, seed=seed)
    assert sizes == [140, 40, 20]
    # shares, e.g. of the label in 10 images: 7, 2, 1; of the one in 3 images: 2.1, 0.6, 0.3
    assert np.abs(counts - np.outer([0.7, 0.2, 0.1], [200, 100, 40, 10, 3])).max() < 1
    assert counts[:, 3].tolist() == [7, 2, 1]


@pytest.mark.parametrize("seed", range(4))
def test_twenty_labels_that_come_in_all_mixtures_are_within_one_image_too(seed: int) -> None:
    random = np.random.RandomState(seed)
    labels = (random.rand(400, 20) < random.rand(20) * 0.5).astype(int)  # dealing alone misses by 4 to 10 images
    _, counts = deal(labels, {"train": 280, "val": 80, "test": 40}, seed=0)
    assert np.abs(counts - np.outer([0.7, 0.2, 0.1], labels.sum(axis=0))).max() < 1


def test_every_label_set_is_spread_by_its_share() -> None:
    # 10 images with both labels and 100 with the first: of each set 0.7, 0.2 and 0.1, so that what goes with what is
    # the same in all splits, too
    dealt = stratify({b"\1\1": 10, b"\1\0": 100}, {"train": 77, "val": 22, "test": 11}, seed=0)
    assert dealt == {b"\1\1": [7, 2, 1], b"\1\0": [70, 20, 10]}


def test_millions_of_images_take_no_longer_than_their_label_sets() -> None:
    dealt = stratify({b"\1\0": 7_000_003, b"\0\1": 3_000_000}, {"train": 7_000_002, "val": 3_000_001}, seed=0)
    # 7,000,003 x 0.6999999... = 4,900,002.9 and 2,100,000.1; 3,000,000 x 0.6999999... = 2,099,999.97 and 900,000.03
    assert dealt in (
        {b"\1\0": [4_900_003, 2_100_000], b"\0\1": [2_099_999, 900_001]},
        {b"\1\0": [4_900_002, 2_100_001], b"\0\1": [2_100_000, 900_000]},
    )


def test_dealing_at_random_misses_the_share_of_a_rare_label() -> None:
    labels = rare_labels()
    shares = np.outer([0.7, 0.2, 0.1], labels.sum(axis=0))
    worst = []
    for seed in range(20):
        order = np.random.RandomState(seed).permutation(200)
        counts = np.array([labels[part].sum(axis=0) for part in np.split(order, [140, 180])])
        worst.append(np.abs(counts - shares).max())
    assert min(worst) > 1  # what the tests above ask for, chance achieves in none of 20 tries


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    label_sets = Counter(row.tobytes() for row in rare_labels())
    first = stratify(label_sets, {"train": 140, "val": 60}, seed=3)
    assert stratify(label_sets, {"train": 140, "val": 60}, seed=3) == first
    assert any(stratify(label_sets, {"train": 140, "val": 60}, seed=seed) != first for seed in range(4, 9))


def test_images_without_labels_and_no_images_at_all_are_dealt_out() -> None:
    assert stratify({bytes(20): 10}, {"train": 7, "val": 2, "test": 1}, seed=0) == {bytes(20): [7, 2, 1]}
    assert stratify({bytes(20): 3}, {"train": 1, "val": 1, "test": 1}, seed=0) == {bytes(20): [1, 1, 1]}
    assert stratify({}, {"train": 0, "val": 0}, seed=0) == {}


def test_sizes_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="do not add up to 4 images"):
        stratify({b"\0\0": 4}, {"train": 3}, seed=0)


def test_an_image_in_two_splits_is_refused_with_its_name() -> None:
    check_disjoint({"train": ["a", "b"], "val": ["c"]})
    with pytest.raises(ValueError, match="1 image is in split 'train' and in 'val' .b.: .*tested on what it was"):
        check_disjoint({"train": ["a", "b"], "val": ["b", "c"]})
    with pytest.raises(ValueError, match="'train' and in 'val'"):
        check_disjoint({"train": ["a", "b"], "val": ["a", "b"]})
    with pytest.raises(ValueError, match="'all' and in 'val'"):  # a part of another list, but not one of its parts
        check_disjoint({"all": ["a", "b", "c"], "val": ["b"]})


def test_a_union_of_other_splits_may_share_their_images() -> None:
    check_disjoint({"train": ["a"], "val": ["b"], "trainval": ["a", "b"], "test": ["c"]})
    check_disjoint({"trainval": ["a", "b"], "val": ["b"]})
    check_disjoint({"train": ["a"], "val": ["b"], "all": ["a", "b"]})
    with pytest.raises(ValueError, match="'trainval' and in 'test'"):
        check_disjoint({"trainval": ["a", "b"], "test": ["b", "c"]})
