"""What a class says of its own history, so that state written with an earlier form of it can be read.

Fields that were added with a default, dropped or widened need no word. A rename and a migration do: nobody can tell them from the two
structures alone.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

C = TypeVar("C")

_ATTRIBUTE: Final = "__schema_evolution__"
_DECORATOR: Final = "@schema_evolution"


@dataclass(frozen=True)
class SchemaEvolution:
    """The history of a class.

    Attributes:
        version: of its present form, from 1.
        renamed: former name of a field to its present one.
        removed: former fields that are gone for good, their data too.
        migrations: version to the function that makes an object of the present class of what that version wrote.
    """

    version: int = 1
    renamed: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    migrations: Mapping[int, Callable[[Any], Any]] = field(default_factory=dict)


def schema_evolution(
    *,
    version: int = 1,
    renamed: Mapping[str, str] | None = None,
    removed: Iterable[str] = (),
    migrations: Mapping[int, Callable[[Any], Any]] | None = None,
) -> Callable[[type[C]], type[C]]:
    """Decorates a dataclass, Struct, NamedTuple or TypedDict whose values are kept in typed state, and whose fields have changed.

    A declaration may stay for ever: it says nothing to state that was written after the change.

    Args:
        version: of the present form; raise it by one when the meaning of the fields changes, or their types in a way that only code can
            follow, and add a migration. State that was never given a version has version 1.
        renamed: former name of a field to its present name.
        removed: fields that are gone for good. Needed only where another field was added in the same step, which looks like a rename.
        migrations: for each version below `version`, what makes an object of the present class of what that version wrote. It is called
            with plain data: a dict from field to value for an object (objects inside it are dicts too), and any other value as it was.

    Raises:
        InvalidArgument: a name is no field of the class, or a version has no migration.

    >>> from dataclasses import dataclass
    >>> @schema_evolution(version=2, migrations={1: lambda old: Price(old["euros"] * 100)})
    ... @dataclass
    ... class Price:
    ...     cents: int
    """
    declared = SchemaEvolution(version, MappingProxyType(dict(renamed or {})), frozenset(removed), MappingProxyType(dict(migrations or {})))
    _check_versions(declared)

    def decorate(cls: type[C]) -> type[C]:
        _check_fields(cls, declared)
        setattr(cls, _ATTRIBUTE, declared)
        return cls

    return decorate


def evolution_of(cls: Any) -> SchemaEvolution:
    """What a class declares. Renamed and removed fields of its bases are its own too, a version and migrations are not."""
    own: SchemaEvolution | None = vars(cls).get(_ATTRIBUTE)
    bases: list[SchemaEvolution] = [vars(base)[_ATTRIBUTE] for base in cls.__mro__[1:] if _ATTRIBUTE in vars(base)]
    if not bases:
        return own or _NOTHING
    own = own or _NOTHING
    renamed = {old: new for each in (*reversed(bases), own) for old, new in each.renamed.items()}
    return SchemaEvolution(own.version, renamed, own.removed.union(*(each.removed for each in bases)), own.migrations)


def _check_versions(declared: SchemaEvolution) -> None:
    if type(declared.version) is not int or declared.version < 1:
        raise InvalidArgument(what=f"{_DECORATOR}(version=...)", value=repr(declared.version), allowed="a whole number from 1")
    wanted, found = set(range(1, declared.version)), set(declared.migrations)
    if wanted != found:
        allowed = f"one for each earlier version ({', '.join(map(str, sorted(wanted)))})" if wanted else "none, as version is 1"
        raise InvalidArgument(what=f"{_DECORATOR}(migrations=...)", value=f"migrations from {sorted(found, key=repr)}", allowed=allowed)


def _check_fields(cls: type, declared: SchemaEvolution) -> None:
    fields = {name for base in cls.__mro__ for name in inspect.get_annotations(base)}
    for old, new in declared.renamed.items():
        if new not in fields:
            value = f"{{{old!r}: {new!r}}}, but {cls.__qualname__} has no field {new!r}"
            raise InvalidArgument(what=f"{_DECORATOR}(renamed=...)", value=value, allowed="former names of fields to names of present ones")
    for gone in {*declared.renamed, *declared.removed} & fields:
        value = f"{gone!r}, which is a field of {cls.__qualname__} again"
        raise InvalidArgument(what=f"{_DECORATOR}(renamed=..., removed=...)", value=value, allowed="former names that no present field has")


_NOTHING: Final = SchemaEvolution()
