"""How keys or values are written into each topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream_kafka.registry.format import RegistryFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.format import Format
    from millstream_kafka.registry.subjects import Part


class TopicEncoders(dict[str, "Callable[[Any], bytes]"]):
    """By topic; made when the first message for a topic is. Only formats with a registry differ from topic to topic.

    Args:
        format: of keys or values.
        part: which of them.

    Raises:
        RegistryError: looked up for a topic whose schema the registry does not have, or while it does not answer.
    """

    def __init__(self, format: Format[Any], part: Part) -> None:
        super().__init__()
        self._format = format
        self._part = part
        self._encode = None if isinstance(format, RegistryFormat) else format.encoder().encode

    def __missing__(self, topic: str) -> Callable[[Any], bytes]:
        if isinstance(self._format, RegistryFormat):
            encode = self._format.encoder_for(topic, self._part).encode
        else:
            assert self._encode is not None  # noqa: S101 - of every other format
            encode = self._encode
        self[topic] = encode
        return encode
