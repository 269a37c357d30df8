"""The opcodes that the data codec writes, and the check that bytes hold nothing else before the pickle machine sees them.

What is written is a pickle of protocol 5 without memo: no opcode names a class, stores or fetches an object (but for a table of
constructors and strings that the reader supplies), sets state, or builds an instance. So bytes describe a tree whose size is that of
the input. The check costs about 40 ns per scalar; it is one regular expression, because a loop over opcodes costs ten times that.
"""

from __future__ import annotations

import functools
import re
import struct
from typing import Final

PROTOCOL: Final = 5
_STOP: Final = 0x2E
_FRAME: Final = 0x95
_BINUNICODE: Final = 0x58
_UINT32: Final = struct.Struct("<I")
_PREFIX: Final = b"\x80\x05\x95"

# Opcodes with the width of the length in front of their data.
_LONG_DATA: Final = {
    _BINUNICODE: 4,
    0x8D: 8,  # BINUNICODE8
    0x42: 4,  # BINBYTES
    0x8E: 8,  # BINBYTES8
    0x96: 8,  # BYTEARRAY8
    0x8B: 4,  # LONG4
}
_SHORT_DATA: Final = frozenset(b"\x8cC\x8a")  # SHORT_BINUNICODE, SHORT_BINBYTES, LONG1
_SCALAR_SIZE: Final = {
    **dict.fromkeys(b"N\x88\x89", 1),  # NONE, NEWTRUE, NEWFALSE
    **dict.fromkeys(b"])}\x8f", 1),  # EMPTY_LIST, EMPTY_TUPLE, EMPTY_DICT, EMPTY_SET
    **dict.fromkeys(b"hK", 2),  # BINGET, BININT1
    0x4D: 3,  # BININT2
    0x4A: 5,  # BININT
    0x47: 9,  # BINFLOAT
}

# Python takes a tuple's hash recursively and without a guard; 4,000 levels fit into a stack of 1 MiB.
MAX_HASHED_DEPTH: Final = 4_000


class ForeignBytes(Exception):
    """The bytes are not what the data codec writes; the argument says why."""


@functools.cache
def _run_of_opcodes() -> re.Pattern[bytes]:
    """Matches any number of allowed opcodes with their arguments, up to STOP or an opcode with a long length."""

    def sized(low: int, high: int) -> bytes:
        return b"|".join(re.escape(bytes([n])) + b".{%d}" % n for n in range(low, high))

    # Branches are tried one after the other: short lengths first, long ones in groups behind a look at the length.
    groups = [rb"(?=[\x%02x-\x%02x])(?:%s)" % (low, low + 31, sized(low, low + 32)) for low in range(32, 256, 32)]
    short = rb"[\x8cC\x8a](?:" + sized(0, 32) + b"|" + b"|".join(groups) + b")"
    no_argument = rb"[N\x88\x89\x85\x86\x87t)\]}\x8f(aesu\x90\x91R]"
    scalars = [rb"K.", short, rb"G.{8}", rb"M..", rb"J.{4}", no_argument]
    return re.compile(rb"(?:(?:h.)*+(?:%s)%s*+)*+(?:h.)*+" % (b"|".join(scalars), no_argument), re.DOTALL)


def check_opcodes(data: bytes) -> None:
    """Raises ForeignBytes unless `data` is a run of allowed opcodes with whole arguments that ends with its only STOP."""
    match_run = _run_of_opcodes().match
    last = len(data) - 1
    position = 0
    while True:
        match = match_run(data, position)
        position = match.end() if match else position
        if position >= last:
            break
        if data[position] == _BINUNICODE and position + 5 < last:
            position += 5 + _UINT32.unpack_from(data, position + 1)[0]  # by far the most frequent, so it has its own way
            continue
        width = _LONG_DATA.get(data[position])
        if width is None:
            msg = f"opcode 0x{data[position]:02x} at offset {position} has no place in it"
            raise ForeignBytes(msg)
        length = int.from_bytes(data[position + 1 : position + 1 + width], "little")
        position = min(position + 1 + width + length, len(data))
    if position != last or data[last] != _STOP:
        msg = f"it ends in the middle, after {len(data)} bytes"
        raise ForeignBytes(msg)
    _check_hashed_depth(data)


def _check_hashed_depth(data: bytes) -> None:
    if len(data) <= MAX_HASHED_DEPTH:
        return
    # Counts the opcodes that close a tuple, and at worst some bytes that look like them.
    closers = data.count(b"\x85") + data.count(b"\x86") + data.count(b"\x87") + min(data.count(b"("), data.count(b"t"))
    if closers > MAX_HASHED_DEPTH and _hashed_depth(data) > MAX_HASHED_DEPTH:
        msg = f"a key of a dict or an item of a set is a tuple nested more than {MAX_HASHED_DEPTH} deep"
        raise ForeignBytes(msg)


def _hashed_depth(data: bytes) -> int:
    """How deep tuples are nested in what becomes a key of a dict or an item of a set; `data` has passed the check of its opcodes."""
    stack: list[int] = []  # of each object, how deep tuples are nested in it
    marks: list[int] = []
    deepest = position = 0
    try:
        while (opcode := data[position]) != _STOP:
            position += 1
            if opcode in _SCALAR_SIZE:
                stack.append(0)
                position += _SCALAR_SIZE[opcode] - 1
            elif opcode in _SHORT_DATA or opcode in _LONG_DATA:
                width = _LONG_DATA.get(opcode, 1)
                position += width + int.from_bytes(data[position : position + width], "little")
                stack.append(0)
            elif 0x85 <= opcode <= 0x87:  # TUPLE1 to TUPLE3
                count = opcode - 0x84
                stack[-count:] = [1 + max(stack[-count:])]
            elif opcode == 0x28:  # MARK
                marks.append(len(stack))
            elif opcode in b"tue\x90\x91":  # TUPLE, SETITEMS, APPENDS, ADDITEMS, FROZENSET
                start = marks.pop()
                items = stack[start:]
                del stack[start:]
                if opcode == 0x74:
                    stack.append(1 + max(items, default=0))
                elif opcode == 0x91:
                    stack.append(0)
                if opcode in b"u\x90\x91":
                    deepest = max(deepest, *items[:: 2 if opcode == 0x75 else 1], 0)
            elif opcode == 0x73:  # SETITEM
                deepest = max(deepest, stack[-2])
                del stack[-2:]
            else:  # APPEND and REDUCE: the list, or the constructor that makes way for its result, holds no tuple that is hashed with it
                stack.pop()
    except (IndexError, ValueError):
        msg = "an opcode takes more than there is"
        raise ForeignBytes(msg) from None
    return deepest


def remembering(count: int) -> bytes:
    """Opcodes that ask the reader for objects 0 to count - 1, at most 256, and remember each under its number."""
    # BININT1, BINPERSID, BINPUT, POP.
    return b"".join([b"K%cQq%c0" % (number, number) for number in range(count)])


def framed(data: bytes) -> bytes:
    """The same opcodes as one frame: what the pickle machine reads at once, and in one piece."""
    return b"".join((_PREFIX, len(data).to_bytes(8, "little"), data))


def unframed(dump: bytes) -> bytes:
    """The opcodes of a fresh pickle without its header and its frames, which a reader could be made to see differently."""
    position = 2
    parts: list[bytes] = []
    match_run = _run_of_opcodes().match
    while position < len(dump):
        opcode = dump[position]
        if opcode == _FRAME:
            start = position + 9
            position = start + int.from_bytes(dump[position + 1 : start], "little")
        elif (width := _LONG_DATA.get(opcode)) is not None:  # long data stands between frames
            start = position
            position += 1 + width + int.from_bytes(dump[position + 1 : position + 1 + width], "little")
        else:  # too little between two long ones to make a frame
            start = position
            match = match_run(dump, position)
            position = max(match.end() if match else 0, position + 1)
        parts.append(dump[start:position])
    return parts[0] if len(parts) == 1 else b"".join(parts)
