"""Strict state: finds code that changes what it read from a state, or wrote to it, without writing it back.

State on the heap hands out its own objects. A function that changes one and does not call `update` is right by accident there, and loses
the change wherever state is kept as bytes. So each object that goes to a function, or comes from it, is remembered here with the bytes it
had, and encoded again when it is read the next time, when the call that had it ends, and at each barrier.

Nothing of this exists unless `state.strict` is set: handles and tables are wrapped when they are made, and the loops stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from millstream.errors import StateNotWrittenBack, shorten
from millstream.state.key_context import NO_KEY, KeyContext
from millstream.state.strict_loans import Loan, ObjectLoan

if TYPE_CHECKING:
    from collections.abc import Callable

ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
"""Types of values that nobody can change."""


class Codec(NamedTuple):
    """How an object becomes bytes and comes back, as a pair of functions."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class StateWatch:
    """All that functions of one operator subtask know of its state.

    Args:
        operator: name of the operator, for errors.
        function: what errors call the user's function.
    """

    def __init__(self, operator: str, function: str) -> None:
        self.operator = operator
        self.function = function
        self._ledgers: list[Ledger] = []

    def ledger(self, state: str, codec: Codec, fix: str, where: Callable[[Any, Any], str]) -> Ledger:
        """A ledger for one more state; the arguments are those of `Ledger`."""
        ledger = Ledger(self, state, codec, fix, where)
        self._ledgers.append(ledger)
        return ledger

    def returning(self, table: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose result its operator puts in the place of what it has just read, unless it is the same object."""
        ledger = next(ledger for ledger in self._ledgers if ledger.state == table)

        def returning(*arguments: Any) -> Any:
            result = function(*arguments)
            ledger.returned(result)
            return result

        return returning

    def end_call(self) -> None:
        """A call of the function is over.

        Raises:
            StateNotWrittenBack: it left something changed.
        """
        for ledger in self._ledgers:
            ledger.check_touched()

    def check(self) -> None:
        """Looks at everything that was ever handed out, or taken; for barriers.

        Raises:
            StateNotWrittenBack: something is not as it was written.
        """
        for ledger in self._ledgers:
            ledger.check_all()


class Ledger:
    """What functions know of one state. A loan is found by two parts, of which the first one is given up as a whole (see `where`).

    Args:
        watch: of the operator.
        state: its name.
        codec: of what is handed out. Not the serializer that writes checkpoints: that describes all it was ever given.
        fix: the calls that write a change back.
        where: names the place of a loan in words, of its two parts: key and None, key and map key, window and key.
    """

    def __init__(self, watch: StateWatch, state: str, codec: Codec, fix: str, where: Callable[[Any, Any], str]) -> None:
        self._watch = watch
        self.state = state
        self._codec = codec
        self._fix = fix
        self._where = where
        self._loans: dict[Any, dict[Any, Loan]] = {}
        self._touched: dict[tuple[Any, Any], None] = {}
        self.last: tuple[Any, Any, Any] | None = None

    # --- bytes

    def bytes_of(self, value: Any) -> bytes | None:
        """What to compare a value with later; None for one that cannot change, or has no encoded form, as checkpoints will say."""
        return None if type(value) in ATOMS else self.encode(value)

    def encode(self, value: Any) -> bytes | None:
        """The bytes of a value; None when it has none."""
        try:
            return self._codec.encode(value)
        except Exception:  # noqa: BLE001 - encoding may call the methods of a user's type, which raise anything
            return None

    def text_of(self, data: bytes) -> str:
        """A value as it was, for people."""
        try:
            return shorten(self._codec.decode(data))
        except Exception:  # noqa: BLE001 - only words for an error that is raised anyway
            return f"{len(data)} bytes"

    # --- loans

    def find(self, outer: Any, inner: Any = None) -> Loan | None:
        """The loan of a place."""
        return self._loans.get(outer, {}).get(inner)

    def keep(self, loan: Loan, outer: Any, inner: Any = None) -> None:
        """Replaces the loan of a place. What the function knew before is no part of the state any more."""
        self._loans.setdefault(outer, {})[inner] = loan

    def touch(self, outer: Any, inner: Any = None) -> None:
        """The call at hand has to do with this place: looked at when it ends."""
        self._touched[outer, inner] = None

    def forget(self, outer: Any, inner: Any = None) -> None:
        """Gives up one loan: the state has nothing there any more."""
        loans = self._loans.get(outer)
        if loans is not None and loans.pop(inner, None) is not None and not loans:
            del self._loans[outer]

    def forget_all(self, outer: Any) -> None:
        """Gives up all loans with that first part."""
        self._loans.pop(outer, None)

    def lend(self, value: Any, outer: Any, inner: Any = None) -> None:
        """An object goes to the function.

        Raises:
            StateNotWrittenBack: it was changed since the state gave or got it.
        """
        self.check(outer, inner)
        loan = self.find(outer, inner)
        if not (isinstance(loan, ObjectLoan) and loan.value is value):
            self.write(value, outer, inner)
        self.last = (value, outer, inner)

    def returned(self, value: Any) -> None:
        """The function returned an object, to be written: also when it is the one that was lent last."""
        if self.last is not None and self.last[0] is value:
            self.write(*self.last)
        self.last = None

    def write(self, value: Any, outer: Any, inner: Any = None) -> None:
        """An object comes from the function, and is what the state has there from now on."""
        data = self.bytes_of(value)
        if data is None:
            self.forget(outer, inner)
        else:
            self.keep(ObjectLoan(value, data), outer, inner)

    # --- checks

    def check(self, outer: Any, inner: Any = None) -> None:
        """Compares one loan.

        Raises:
            StateNotWrittenBack: it was changed.
        """
        loan = self.find(outer, inner)
        if loan is not None:
            self._compare(loan, outer, inner, fresh=False)

    def check_outer(self, outer: Any) -> None:
        """Compares all loans with that first part; raises as `check`."""
        for inner, loan in self._loans.get(outer, {}).items():
            self._compare(loan, outer, inner, fresh=False)

    def check_touched(self) -> None:
        """Compares what the call at hand had to do with; raises as `check`."""
        touched, self._touched = self._touched, {}
        for outer, inner in touched:
            loan = self.find(outer, inner)
            if loan is not None:
                self._compare(loan, outer, inner, fresh=True)

    def check_all(self) -> None:
        """Compares all loans; raises as `check`."""
        self._touched.clear()
        for outer in self._loans:
            self.check_outer(outer)

    def _compare(self, loan: Loan, outer: Any, inner: Any, *, fresh: bool) -> None:
        change = loan.change(self, fresh=fresh)
        if change is not None:
            raise StateNotWrittenBack(
                operator=self._watch.operator,
                function=self._watch.function,
                state=self.state,
                where=self._where(outer, inner),
                before=change.before,
                after=change.after,
                fix=self._fix,
            )


class WatchedKeyContext(KeyContext):
    """A key context whose key is set before each call and after the last one: then the call before is over."""

    __slots__ = ("_key", "_watch")

    def __init__(self, watch: StateWatch) -> None:
        self._watch = watch
        self._key: Any = NO_KEY

    @property
    def key(self) -> Any:
        return self._key

    @key.setter
    def key(self, key: Any) -> None:
        self._watch.end_call()
        self._key = key
