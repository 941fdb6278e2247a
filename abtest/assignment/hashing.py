"""Which of 10,000 buckets a unit falls into: GrowthBook's published hash, version 2, for one unit or for millions.

`bucket = fnv(str(fnv(seed + value))) mod 10000`, where fnv is FNV-1a of 32 bits over UTF-16 code units, so that every
SDK that follows GrowthBook's specification agrees, whatever the alphabet or emoji of the id.
"""

from collections.abc import Sequence

import numpy as np
from fnv_hash_fast import fnv1a_32
from numpy.typing import NDArray

BUCKETS = 10_000

_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_BLOCK = 16_384  # units whose hash state stays in the processor's cache: twice the speed of one pass over everything


def bucket(seed: str, value: str) -> int:
    """The bucket in 0..9999 of one value: the hot path of every assignment.

    >>> bucket("seed", "a"), bucket("seed", "josé")
    (505, 5199)
    """
    return fnv1a_32(b"%d" % _fnv(seed + value)) % BUCKETS


def buckets(seed: str, values: NDArray[np.str_] | Sequence[str]) -> NDArray[np.int32]:
    """The buckets (n,) of many values: the same numbers as `bucket`, several times as fast.

    numpy itself drops NUL characters at the end of a string, so no id may end with one (a list is checked).

    >>> buckets("seed", ["a", "josé"])
    array([ 505, 5199], dtype=int32)
    """
    texts = text_array(values)
    state = _fnv(seed)
    result = np.empty(len(texts), np.int32)
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        result[start : start + _BLOCK] = _second_hash(_first_hash(state, block))
    return result


def text_array(values: NDArray[np.str_] | Sequence[str]) -> NDArray[np.str_]:
    """The values as a numpy array (n,) of strings in this machine's byte order; anything but strings is refused."""
    if not isinstance(values, np.ndarray):
        values = _from_sequence(values)
    elif values.dtype.kind == "T" and values.ndim == 1:  # numpy's strings of variable width
        values = _from_sequence(values.tolist())
    if values.ndim != 1 or values.dtype.kind != "U":
        raise ValueError(
            f"values must be one row of strings, got {values.dtype} with shape {values.shape}; "
            "convert ids with .astype(str)"
        )
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


def _from_sequence(values: Sequence[str]) -> NDArray[np.str_]:
    for row, value in enumerate(values):
        # np.array([7, None]) would silently become "7" and "None", and "a\0" become "a"
        if not isinstance(value, str) or value.endswith("\0"):
            raise ValueError(f"value {row} must be a string that does not end with NUL, got {value!r}")
    return np.array(values, dtype=np.str_)


def _fnv(text: str) -> int:
    """FNV-1a over the UTF-16 code units of `text`, as JavaScript's charCodeAt gives them."""
    try:
        return fnv1a_32(text.encode("latin-1"))  # up to U+00FF the bytes are the code units
    except UnicodeEncodeError:
        state = _OFFSET
        # native UTF-16 behind its byte-order mark, lone surrogates kept
        for unit in memoryview(text.encode("utf-16", "surrogatepass")).cast("H")[1:]:
            state = ((state ^ unit) * _PRIME) & 0xFFFFFFFF
        return state


def _first_hash(state: int, texts: NDArray[np.str_]) -> NDArray[np.uint32]:
    """The states (n,) after each text, one column of characters at a time."""
    codes = texts.view(np.uint32).reshape(len(texts), -1)
    lengths = np.strings.str_len(texts)
    states = np.full(len(texts), state, np.uint32)
    for column in range(int(lengths.max(initial=0))):
        code = codes[:, column]
        following = _step_utf16(states, code)
        # texts that ended before this column keep their state; a NUL inside a text is a character like any other
        states = np.where(lengths > column, following, states) if (lengths <= column).any() else following
    return states


def _step_utf16(states: NDArray[np.uint32], codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """One FNV step per character, two (its surrogate pair) beyond the basic plane."""
    astral = np.flatnonzero(codes > 0xFFFF)
    following = _step(states, codes)
    if len(astral):
        beyond = codes[astral] - np.uint32(0x10000)
        high = _step(states[astral], np.uint32(0xD800) + (beyond >> np.uint32(10)))
        following[astral] = _step(high, np.uint32(0xDC00) + (beyond & np.uint32(0x3FF)))
    return following


def _step(states: NDArray[np.uint32], units: NDArray[np.uint32]) -> NDArray[np.uint32]:
    mixed = states ^ units
    mixed *= np.uint32(_PRIME)  # wraps at 2^32, which is the hash's own modulus
    return mixed


def _second_hash(first: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The buckets (n,) of the first hash's decimal text: its head from a table, then six digits."""
    head, rest = np.divmod(first, np.uint32(1_000_000))
    states = _HEAD_STATES[head]
    for power in (100_000, 10_000, 1_000, 100, 10, 1):
        digit = rest // np.uint32(power)
        rest -= digit * np.uint32(power)
        states = _step(states, digit + np.uint32(ord("0")))
    for row in np.flatnonzero(head == 0):  # one in 4,295: no head, and no leading zeros to write
        states[row] = fnv1a_32(b"%d" % first[row])
    return states % np.uint32(BUCKETS)


# The state after the decimal text of each count of millions, 0..4294: the first digits of a hash by one look-up.
_HEAD_STATES = np.array([fnv1a_32(b"%d" % head) for head in range(2**32 // 1_000_000 + 1)], np.uint32)
