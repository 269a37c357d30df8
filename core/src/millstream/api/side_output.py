"""Side outputs: more than one stream out of one operator."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from millstream.contracts.state_descriptors import check_name

T = TypeVar("T")


class OutputTag(Generic[T]):
    """Names a side output. Two tags are the same when id and type are.

    Args:
        tag_id: unique within the job for its type.
        output_type: type of the records, for people and type checkers.
    """

    __slots__ = ("output_type", "tag_id")

    @overload
    def __init__(self, tag_id: str, output_type: type[T]) -> None: ...

    @overload
    def __init__(self: OutputTag[Any], tag_id: str, output_type: Any = None) -> None: ...

    def __init__(self, tag_id: str, output_type: Any = None) -> None:
        check_name("side output", tag_id)
        self.tag_id = tag_id
        self.output_type = output_type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OutputTag) and (self.tag_id, self.output_type) == (other.tag_id, other.output_type)

    def __hash__(self) -> int:
        return hash(self.tag_id)

    def __repr__(self) -> str:
        return f"OutputTag({self.tag_id!r})"
