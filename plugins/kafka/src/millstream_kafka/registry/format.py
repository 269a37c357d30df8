"""What formats with a schema registry have in common: the writer's schema is found by its id, and kept."""

from __future__ import annotations

from abc import abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from millstream.contracts.format import DecodeError, Decoder, Encoder, Format
from millstream.errors import InvalidArgument
from millstream_kafka.errors import SettingRefused
from millstream_kafka.registry.framing import id_of
from millstream_kafka.registry.settings import SchemaRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream_kafka.registry.client import RegistryClient
    from millstream_kafka.registry.stored import StoredSchema
    from millstream_kafka.registry.subjects import Part

T = TypeVar("T")


class RegistryFormat(Format[T]):
    """A format whose schema depends on the topic. Outside of a Kafka source or sink there is none, and the subject must not name it."""

    @abstractmethod
    def decoder_for(self, topic: str | None, part: Part) -> RegistryDecoder[T]:
        """A decoder of keys or values of one topic. Asks the registry when it meets a new id."""

    @abstractmethod
    def encoder_for(self, topic: str | None, part: Part) -> Encoder[T]:
        """An encoder, likewise. Asks the registry at once.

        Raises:
            RegistryError: it does not have the schema, or does not answer.
        """

    def decoder(self, header: bytes | None = None) -> RegistryDecoder[T]:
        return self.decoder_for(None, "value")

    def encoder(self) -> Encoder[T]:
        return self.encoder_for(None, "value")


class RegistryDecoder(Decoder[T]):
    """Values of one topic.

    Whoever must not block asks for `unresolved` and has these resolved elsewhere; else it is done when a value needs it.

    Args:
        client: of the registry.
    """

    kind: ClassVar[str]
    """Of the schemas it reads, as registries spell it."""

    reads: ClassVar[str]
    """The format's name, for people."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._known: dict[bytes, Callable[[bytes], Any]] = {}
        self._unknown: dict[bytes, str] = {}

    @abstractmethod
    def _head(self, raw: bytes) -> bytes:
        """The part in front of a value that says how it is read. Raises DecodeError."""

    @abstractmethod
    def _reader(self, head: bytes, schema: StoredSchema) -> Callable[[bytes], Any]:
        """What reads values with this head. Raises DecodeError for what is the writer's fault, RegistryError for what is not."""

    def unresolved(self, raws: Sequence[bytes | None]) -> dict[bytes, int]:
        """Heads that nobody has looked up, each with the index of the first value that has it."""
        missing: dict[bytes, int] = {}
        for number, raw in enumerate(raws):
            if raw is None:
                continue
            try:
                head = self._head(raw)
            except DecodeError:  # told when it is decoded
                continue
            if head not in self._known and head not in self._unknown:
                missing.setdefault(head, number)
        return missing

    def resolve(self, head: bytes) -> None:
        """Looks one up, on any thread, while no other uses the decoder. May block for seconds.

        Raises:
            RegistryError: the registry does not say.
        """
        try:
            self._known[head] = self._looked_up(head)
        except DecodeError as error:
            self._unknown[head] = error.reason

    def forget_unknown(self) -> None:
        """Asks again for what was not found, should it come again: a registry may be late."""
        self._unknown.clear()

    def _reader_of(self, head: bytes) -> Callable[[bytes], Any]:
        if head in self._unknown:
            raise DecodeError(self._unknown[head])
        reader = self._known[head] = self._looked_up(head)
        return reader

    def _looked_up(self, head: bytes) -> Callable[[bytes], Any]:
        schema_id = id_of(head)
        schema = self._client.schema(schema_id)
        if schema is None:
            reason = f"its schema id is {schema_id}, which the schema registry at {self._client.address} does not know: the message was written with "
            raise DecodeError(reason + "another registry, with none, or its schema was deleted")
        if schema.kind != self.kind:
            reason = f"its schema {schema_id} at {self._client.address} is of type {schema.kind}, and {self.reads} reads {self.kind}"
            raise DecodeError(reason)
        return self._reader(head, schema)


def check_registry(what: str, registry: object, extra: str, *modules: str) -> None:
    """Raises InvalidArgument if it is no SchemaRegistry, and SettingRefused if the extra is not installed.

    Args:
        what: whose option it is, for errors: `AvroFormat`.
        extra: of this distribution.
        modules: that come with it.
    """
    if not isinstance(registry, SchemaRegistry):
        raise InvalidArgument(
            what=f"{what}(registry=...)", value=repr(registry), allowed='a SchemaRegistry, for example SchemaRegistry("https://registry:8081")'
        )
    for module in ("confluent_kafka.schema_registry", *modules):
        try:
            import_module(module)
        except ImportError as error:
            fix = f"Install millstream-kafka[{extra}]"
            raise SettingRefused(what=what, name="", reason=f"it needs libraries that are not there: {error}", fix=fix) from error
