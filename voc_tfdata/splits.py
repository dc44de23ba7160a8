"""Which image belongs to which split: official lists, or ratios stratified over the labels.

ratios = parse_ratios("train=0.7,val=0.2,test=0.1")
assignment = stratify(labels, split_sizes(len(labels), ratios), seed=0)      # {"train": [3, 0, ...], ...}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

DEFAULT_RATIOS = "train=0.7,val=0.2,test=0.1"  # the reference recipe's
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
            raise ValueError(f"--split_ratios={text}: {name!r} stands there twice")
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


def stratify(labels: npt.ArrayLike, sizes: Mapping[str, int], *, seed: int) -> dict[str, list[int]]:
    """Returns the rows of each split: of exactly these sizes, with every label spread as evenly as its count allows.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML 2011, figure 1): the label with the fewest images
    left is dealt out first, each image to the split that still lacks that label most, then to the one that lacks
    images most, then by the seed. Here a split that is full takes no more, which makes the sizes exact. The dealing is
    followed by exchanges of two images between splits while one brings the labels closer to their shares.

    Args:
      labels: 0/1 matrix [N, C]; rows of zeros are allowed.
      sizes: images of each split; they add up to N.
      seed: decides between equals.

    Returns:
      {split: rows in increasing order}.
    """
    matrix = np.asarray(labels).astype(bool)
    names = list(sizes)
    room = np.array([sizes[name] for name in names], dtype=np.int64)
    if room.sum() != len(matrix):
        raise ValueError(f"split sizes {dict(sizes)} do not add up to {len(matrix)} images")
    shares = room / max(1, room.sum())
    owner = _deal(matrix, room.copy(), shares, np.random.RandomState(seed))
    _exchange(matrix, owner, shares)
    return {name: np.flatnonzero(owner == k).tolist() for k, name in enumerate(names)}


def _deal(
    matrix: npt.NDArray[np.bool_],
    room: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    rng: np.random.RandomState,
) -> npt.NDArray[np.int64]:
    order = rng.permutation(len(matrix))  # RandomState's stream is frozen (NEP 19): the same split for ever
    wanted = np.outer(shares, matrix.sum(axis=0))  # [splits, C] images of each label still lacking
    owner = np.full(len(matrix), -1)
    left = matrix.copy()
    while True:
        counts = left.sum(axis=0)
        rows = order[~left.any(axis=1)[order] & (owner[order] < 0)] if not counts.any() else None
        label = -1 if rows is not None else int(np.argmin(np.where(counts > 0, counts, np.iinfo(np.int64).max)))
        if rows is None:
            rows = order[left[order, label]]
        for row in rows:
            lacking = wanted[:, label].tolist() if label >= 0 else [0.0] * len(shares)
            free = room.tolist()
            best = max(range(len(free)), key=lambda k: (free[k] > 0, round(lacking[k], 9), free[k], -k))
            owner[row] = best
            room[best] -= 1
            wanted[best] -= matrix[row]
            left[row] = False
        if label < 0:
            return owner


def _exchange(matrix: npt.NDArray[np.bool_], owner: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    """Swaps pairs of images between splits (in place) while that lowers the worst relative miss of a label."""
    totals = matrix.sum(axis=0)
    weight = 1 / np.maximum(totals, 1)  # one image of a rare label weighs more than one of a frequent label
    values = matrix.astype(np.int8)
    counts = np.stack([values[owner == k].sum(axis=0) for k in range(len(shares))])
    target = np.outer(shares, totals)
    tried = (1 << 20) // (8 * matrix.shape[1])  # exchanges looked at in one go: 1 MiB of float64
    for _ in range(4 * matrix.shape[1]):
        miss = counts - target
        # Within one image of its share is as good as it gets; start from the label furthest beyond that.
        worst = np.abs(miss) * (np.abs(miss) >= 1)
        if not worst.any():
            return
        k, label = np.unravel_index(np.argmax(worst * weight), worst.shape)
        sign = 1 if miss[k, label] > 0 else -1
        other = int(np.argmin(sign * miss[:, label]))
        giver, taker = (k, other) if sign > 0 else (other, k)
        out = np.flatnonzero((owner == giver) & matrix[:, label])[:100]
        back = np.flatnonzero((owner == taker) & ~matrix[:, label])[: max(1, tried // max(1, len(out)))]
        moved = values[out][:, None, :] - values[back][None, :, :]  # [out, back, C]
        after = (((miss[giver] - moved) ** 2 + (miss[taker] + moved) ** 2) * weight).sum(axis=2)
        before = ((miss[giver] ** 2 + miss[taker] ** 2) * weight).sum()
        if not after.size or after.min() >= before - 1e-12:
            return
        i, j = np.unravel_index(np.argmin(after), after.shape)
        owner[out[i]], owner[back[j]] = taker, giver
        counts[giver] -= moved[i, j]
        counts[taker] += moved[i, j]


def check_disjoint(lists: Mapping[str, Sequence[str]]) -> None:
    """Checks that no image is in two splits, unless one of them is the union of others (trainval of train and val).

    Raises:
      ValueError: names the two splits and some of the images.
    """
    sets = {name: set(ids) for name, ids in lists.items()}
    names = list(sets)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            shared = sets[a] & sets[b]
            if shared and not (_is_union(a, b, sets) or _is_union(b, a, sets)):
                some = ", ".join(sorted(shared)[:5])
                raise ValueError(
                    f"{len(shared)} images are in split {a!r} and in {b!r} ({some} ...): a model would be tested on "
                    "what it was trained on; correct the lists, or name others in --splits"
                )


def _is_union(whole: str, part: str, sets: Mapping[str, set[str]]) -> bool:
    if not sets[part] < sets[whole]:
        return False
    parts = [name for name in sets if name != whole and sets[name] < sets[whole]]
    return whole.endswith("trainval") or set().union(*(sets[name] for name in parts)) == sets[whole]
