"""How keys or values are written into each topic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream_kafka.registry.format import RegistryFormat

if TYPE_CHECKING:
    from millstream.contracts.format import Encoder, Format
    from millstream_kafka.registry.subjects import Part


class TopicEncoders(dict[str, "Encoder[Any]"]):
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
        self._same = None if isinstance(format, RegistryFormat) else format.encoder()

    def __missing__(self, topic: str) -> Encoder[Any]:
        if isinstance(self._format, RegistryFormat):
            encoder = self._format.encoder_for(topic, self._part)
        else:
            assert self._same is not None  # noqa: S101 - of every other format
            encoder = self._same
        self[topic] = encoder
        return encoder
