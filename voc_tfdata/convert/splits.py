"""Which image belongs to which split: official lists, or ratios stratified over the labels.

ratios = parse_ratios("train=0.7,val=0.2,test=0.1")
counts = stratify({b"\1\0": 10, b"\0\1": 5}, split_sizes(15, ratios), seed=0)     # {b"\1\0": [7, 2, 1], ...}
"""

from __future__ import annotations

import heapq
import itertools
import operator
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

DEFAULT_RATIOS = "train=0.7,val=0.2,test=0.1"  # the reference recipe's
_NAMED = 5  # images that an error names
_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_split_name(name: str) -> None:
    """Raises ValueError unless the name can stand in a file name and in a union such as train+val."""
    if not _SPLIT_NAME.fullmatch(name):
        raise ValueError(f"split name {name!r}: letters, digits, '_', '.' and '-' only")


def parse_ratios(text: str) -> dict[str, float]:
    """Returns {"train": 0.7, ...} of "train=0.7,val=0.2,test=0.1".

    Raises:
      ValueError: not of that form, a name twice, a share that is not above 0, or shares that do not add up to 1.
    """
    ratios: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.strip().partition("=")
        check_split_name(name)
        try:
            ratios_share = float(share)
        except ValueError:
            raise ValueError(f"--split_ratios={text}: {part.strip()!r} is not of the form train=0.7") from None
        if name in ratios:
            raise ValueError(f"--split_ratios={text}: {name!r} is listed twice")
        if not 0 < ratios_share <= 1:
            raise ValueError(f"--split_ratios={text}: the share of {name!r} must be above 0 and at most 1")
        ratios[name] = ratios_share
    if abs(sum(ratios.values()) - 1) > 1e-6:
        raise ValueError(f"--split_ratios={text}: the shares add up to {sum(ratios.values()):g}, not to 1")
    return ratios


def split_sizes(num_images: int, ratios: Mapping[str, float]) -> dict[str, int]:
    """Returns how many images each split gets: the shares rounded by largest remainder, and no split empty while
    there are images enough for all.
    """
    names = list(ratios)
    shares = [num_images * ratios[name] for name in names]
    least = 1 if num_images >= len(names) else 0
    sizes = [max(least, int(share + 1e-9)) for share in shares]
    while sum(sizes) < num_images:
        sizes[max(range(len(names)), key=lambda k: (shares[k] - sizes[k], -k))] += 1
    while sum(sizes) > num_images:  # only where `least` lifted one
        sizes[max(range(len(names)), key=lambda k: (sizes[k] - shares[k] if sizes[k] > least else -np.inf, -k))] -= 1
    return dict(zip(names, sizes, strict=True))


def stratify(label_sets: Mapping[bytes, int], sizes: Mapping[str, int], *, seed: int) -> dict[bytes, list[int]]:
    """Returns how many images of each label set go into each split: the splits get exactly these sizes, and every label
    is spread as evenly as its count allows.

    Of each label set every split gets its share, rounded down. What is left over is dealt out by iterative
    stratification (Sechidis, Tsoumakas, Vlahavas, ECML 2011, figure 1): the label with the fewest images left comes
    first, each image goes to the split that still lacks that label most, then to the one that lacks images most, then
    by the seed. Here a split that is full takes no more, which makes the sizes exact. Exchanges of two images between
    splits follow, while one brings the labels closer to their shares.

    Which image of a label set goes where makes no difference to the labels, and is not decided here.

    Args:
      label_sets: number of images of each; a label set is a string of C bytes, 1 for the labels that an image has.
      sizes: images of each split; they add up to the images of the label sets.
      seed: decides between equals.

    Returns:
      {label set: number of images for each split, in the order of sizes}.
    """
    keys = sorted(label_sets)
    totals = np.array([label_sets[key] for key in keys], dtype=np.int64)
    room = np.array(list(sizes.values()), dtype=np.int64)
    if room.sum() != totals.sum():
        raise ValueError(f"split sizes {dict(sizes)} do not add up to {totals.sum()} images")
    if not keys:
        return {}
    matrix = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1).astype(bool)  # [sets, C]
    shares = room / room.sum()
    counts = np.floor(np.outer(totals, shares) + 1e-9).astype(np.int64)  # [sets, splits]
    left = np.repeat(np.arange(len(keys)), totals - counts.sum(axis=1))  # the label set of each image left over
    wanted = np.outer(shares, totals @ matrix) - counts.T @ matrix
    owner = _deal(matrix[left], room - counts.sum(axis=0), wanted, np.random.RandomState(seed))
    np.add.at(counts, (left, owner), 1)
    _exchange(matrix, counts, shares)
    return dict(zip(keys, counts.tolist(), strict=True))


def _deal(
    matrix: npt.NDArray[np.bool_],
    room: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.float64],
    rng: np.random.RandomState,
) -> npt.NDArray[np.int64]:
    """Returns the split of each image of [N, C] labels.

    Args:
      matrix: labels of the images.
      room: images that each split still takes; changed.
      wanted: [splits, C] images of each label that each split still lacks; changed.
      rng: decides which image comes first.
    """
    order = rng.permutation(len(matrix))  # RandomState's stream is frozen (NEP 19): the same split forever
    owner = np.full(len(matrix), -1)
    left = matrix.copy()
    while True:
        counts = left.sum(axis=0)
        if counts.any():
            label = int(np.argmin(np.where(counts > 0, counts, np.iinfo(np.int64).max)))
            rows = order[left[order, label]]
        else:  # images without labels are left
            label = -1
            rows = order[owner[order] < 0]
        for row in rows:
            lacking = wanted[:, label].tolist() if label >= 0 else [0.0] * len(room)
            free = room.tolist()
            best = max(range(len(free)), key=lambda k: (free[k] > 0, round(lacking[k], 9), free[k], -k))
            owner[row] = best
            room[best] -= 1
            wanted[best] -= matrix[row]
            left[row] = False
        if label < 0:
            return owner


def _exchange(matrix: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    """Swaps two images between splits, again and again, while that lowers the worst relative miss of a label.

    Args:
      matrix: [sets, C] the label sets.
      counts: [sets, splits] images of each; changed.
      shares: [splits] of all images.
    """
    values = matrix.astype(np.int8)
    totals = counts.sum(axis=1) @ matrix  # [C]
    weight = 1 / np.maximum(totals, 1)  # one image of a rare label weighs more than one of a frequent label
    tried = (1 << 20) // (8 * matrix.shape[1])  # exchanges looked at in one go: 1 MiB of float64
    miss = counts.T @ matrix - np.outer(shares, totals)  # [splits, C]
    for _ in range(4 * matrix.shape[1]):
        # Within one image of its share is as good as it gets; start from the label furthest beyond that.
        worst = np.abs(miss) * (np.abs(miss) >= 1)
        if not worst.any():
            return
        k, label = np.unravel_index(np.argmax(worst * weight), worst.shape)
        sign = 1 if miss[k, label] > 0 else -1
        other = int(np.argmin(sign * miss[:, label]))
        giver, taker = (k, other) if sign > 0 else (other, k)
        out = np.flatnonzero((counts[:, giver] > 0) & matrix[:, label])[:100]
        back = np.flatnonzero((counts[:, taker] > 0) & ~matrix[:, label])[: max(1, tried // max(1, len(out)))]
        moved = values[out][:, None, :] - values[back][None, :, :]  # [out, back, C]
        after = (((miss[giver] - moved) ** 2 + (miss[taker] + moved) ** 2) * weight).sum(axis=2)
        before = ((miss[giver] ** 2 + miss[taker] ** 2) * weight).sum()
        if not after.size or after.min() >= before - 1e-12:
            return
        i, j = np.unravel_index(np.argmin(after), after.shape)
        miss[giver] -= moved[i, j]
        miss[taker] += moved[i, j]
        counts[out[i], giver] -= 1
        counts[out[i], taker] += 1
        counts[back[j], taker] -= 1
        counts[back[j], giver] += 1


def merge_lists(lists: Sequence[Iterable[str]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields each id once, in increasing order, with the numbers of the lists that hold it.

    Args:
      lists: ids in increasing order, each once.
    """
    numbered = [zip(ids, itertools.repeat(number)) for number, ids in enumerate(lists)]
    for image_id, same in itertools.groupby(heapq.merge(*numbered), key=operator.itemgetter(0)):
        yield image_id, tuple(number for _, number in same)


def check_disjoint(lists: Mapping[str, Iterable[str]]) -> None:
    """Checks that no image is in two splits, unless one of them is the union of others (trainval of train and val).

    Args:
      lists: {name: ids in increasing order, each once}.

    Raises:
      ValueError: names the two splits and some of the images.
    """
    counts: Counter[tuple[int, ...]] = Counter()  # of the ids that are in these lists, and in no other
    some: dict[tuple[int, ...], list[str]] = {}
    for image_id, numbers in merge_lists(list(lists.values())):
        counts[numbers] += 1
        if counts[numbers] <= _NAMED:
            some.setdefault(numbers, []).append(image_id)
    for (a, name_a), (b, name_b) in itertools.combinations(enumerate(lists), 2):
        both = [numbers for numbers in counts if a in numbers and b in numbers]
        if not both or _is_union(a, b, name_a, counts) or _is_union(b, a, name_b, counts):
            continue
        named = ", ".join(sorted(image_id for numbers in both for image_id in some[numbers])[:_NAMED])
        total = sum(counts[numbers] for numbers in both)
        more = " ..." if total > _NAMED else ""
        raise ValueError(
            f"{total} image{'s are' if total > 1 else ' is'} in split {name_a!r} and in {name_b!r} ({named}{more}): a "
            "model would be tested on what it was trained on; correct the lists, or name others in --splits"
        )


def _is_union(whole: int, part: int, name: str, counts: Collection[tuple[int, ...]]) -> bool:
    """Returns whether list `whole`, of this name, is a union of lists of which `part` is one."""

    def inside(number: int) -> bool:  # and not all of it
        return all(whole in numbers for numbers in counts if number in numbers) and any(
            number not in numbers for numbers in counts if whole in numbers
        )

    if not inside(part):
        return False
    others = {number for numbers in counts for number in numbers if number != whole and inside(number)}
    return name.endswith("trainval") or all(others & set(numbers) for numbers in counts if whole in numbers)
