"""The pickle machine of the data codec: what it writes builtin values with, what it reads them with, and the objects it sets apart.

Nothing else in the core unpickles, save for user functions.
"""

from __future__ import annotations

import pickle
from io import BytesIO
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final, Literal

from millstream.state.data_codec_leaves import LEAF_REDUCERS, LEAF_TABLE, Call, Sealed, Unsupported
from millstream.state.data_codec_stream import PROTOCOL, ForeignBytes, framed, remembering, unframed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.state.data_codec_plans import ClassPlan

MAX_STRINGS: Final = 200
"""Strings that a pickle may refer to by number; with the table before them, numbers of one byte."""


class Apart(tuple[Any, ...]):
    """An object on its way: number of its class, and its parts. Equal to nothing else, so that it can be a key before it is made."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class _SetApart(Sealed):
    __slots__ = ()

    def __call__(self, *parts: Any) -> Apart:
        return Apart(parts)


_APART: Final = _SetApart()
_TABLE: Final = (*LEAF_TABLE, _APART)


class Writer(pickle.Pickler):
    """Writes builtin values itself, in C, and everything else as a call of a constructor that the reader has too."""

    def __init__(self, plan: Callable[[type], ClassPlan], strings: Sequence[str] = ()) -> None:
        self._buffer = BytesIO()
        super().__init__(self._buffer, PROTOCOL, buffer_callback=_refuse_buffer)
        self.memo = {id(entry): (number, entry) for number, entry in enumerate((*_TABLE, *strings))}
        # Without memo for anything else: the bytes do not depend on which equal objects are one, and no reader has to follow references.
        self.fast = True
        self._plan = plan
        self.plans: list[ClassPlan] = []
        self._numbers: dict[type, int] = {}
        self.nested = False

    def write(self, root: list[Any], row_plan: ClassPlan | None) -> bytes:
        """The opcodes of a list; what they refer to is in `plans` and `nested` until the next call. After an error, use another writer."""
        self.plans = [] if row_plan is None else [row_plan]
        self._numbers = {} if row_plan is None else {row_plan.cls: 0}
        self.nested = False
        self._buffer.seek(0)
        self._buffer.truncate()
        self.dump(root)
        return unframed(self._buffer.getvalue())

    def reducer_override(self, obj: Any) -> Call:
        cls = type(obj)
        reduce = LEAF_REDUCERS.get(cls)
        if reduce is not None:
            return reduce(obj)
        number = self._numbers.get(cls)
        if number is None:
            self.plans.append(self._plan(cls))
            number = self._numbers[cls] = len(self.plans) - 1
        self.nested = True
        return _APART, (number, *self.plans[number].row(obj))


class Reader(pickle.Unpickler):
    """Reads opcodes that have passed their check.

    Args:
        nested: the opcodes may set objects apart.
        strings: what they may refer to by number.
    """

    def __init__(self, *, nested: bool, strings: Sequence[str] = ()) -> None:
        self._file = BytesIO()
        super().__init__(self._file)
        # Constructors of its own, so that nobody else's use of one shows in the count of references to it.
        own = [type(entry)() if isinstance(entry, Sealed) else entry for entry in _TABLE]
        self._table: list[Any] = [*own[:-1], own[-1] if nested else None, *strings[:MAX_STRINGS]]
        # What is remembered stays for all reads; the machine has no other way to be given it that works in every version of Python.
        self._load(remembering(len(self._table)) + b"N.")
        self._table = [entry for entry in own if isinstance(entry, Sealed)]
        del own  # the count is of the references that stay
        self._references = sum(map(getrefcount, self._table))

    def read(self, opcodes: bytes) -> Any:
        """The object that the opcodes build. After an error, use another reader.

        Raises:
            ForeignBytes: it holds one of the constructors.
        """
        built = self._load(opcodes)
        if sum(map(getrefcount, self._table)) != self._references:
            raise ForeignBytes("a constructor stands where a value belongs")
        return built

    def _load(self, opcodes: bytes) -> Any:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(framed(opcodes))
        self._file.seek(0)
        return self.load()

    def persistent_load(self, pid: Any) -> Any:
        # Asked by what `remembering` gives, and never after it: no such opcode passes the check.
        return self._table[pid]

    def find_class(self, module: str, name: str) -> Any:
        raise ForeignBytes(f"it names {module}.{name}")


def _refuse_buffer(buffer: pickle.PickleBuffer) -> Literal[False]:
    raise Unsupported(buffer, "is not plain bytes", "Turn it into bytes first.")


class Maker:
    """Puts objects in the places of what was set apart for them."""

    def __init__(self, plans: list[ClassPlan]) -> None:
        self._plans = plans

    def __call__(self, value: Any) -> Any:
        if type(value) not in _CONTAINERS:
            return value
        try:
            return self._make(value)
        except RecursionError:
            return self._make_deep(value)

    def _make(self, value: Any) -> Any:
        make = self._make
        if type(value) is dict:
            return {make(key) if type(key) in _CONTAINERS else key: make(item) if type(item) in _CONTAINERS else item for key, item in value.items()}
        parts = [make(part) if type(part) in _CONTAINERS else part for part in value]
        return self._object(parts) if type(value) is Apart else parts if type(value) is list else type(value)(parts)

    def _make_deep(self, root: Any) -> Any:
        """The same without recursion, for what is nested deeper than Python calls."""
        made: dict[int, Any] = {}
        stack = [root]
        while stack:
            value = stack[-1]
            cls = type(value)
            parts = [*value, *value.values()] if cls is dict else list(value)
            inner = [part for part in parts if type(part) in _CONTAINERS and id(part) not in made]
            if inner:
                stack.extend(inner)
                continue
            stack.pop()
            parts = [made[id(part)] if type(part) in _CONTAINERS else part for part in parts]
            half = len(parts) // 2
            made[id(value)] = self._object(parts) if cls is Apart else dict(zip(parts[:half], parts[half:])) if cls is dict else cls(parts)
        return made[id(root)]

    def _object(self, parts: list[Any]) -> Any:
        number = parts[0]
        if type(number) is not int or not 0 <= number < len(self._plans):
            raise ForeignBytes("an object is of no class that is named")
        plan = self._plans[number]
        if len(parts) != plan.width + 1:
            raise ForeignBytes(f"an object of {plan.ref.name} has other parts than its class")
        return plan.make(tuple(parts[1:]))


_CONTAINERS: Final = frozenset({list, tuple, set, frozenset, dict, Apart})
