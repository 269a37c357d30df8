"""Asks a schema registry. No other module imports the client library for it.

A connection is made for each question and closed behind it: questions are as rare as new schemas, a secret is kept nowhere, and a password
that has changed is found.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, SchemaRegistryError

from millstream_kafka.errors import SettingRefused
from millstream_kafka.registry.errors import RegistryError, RegistryRefused, RegistryUnreachable, SchemaIncompatible
from millstream_kafka.registry.stored import PROTOBUF, NewSchema, StoredSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream_kafka.registry.settings import SchemaRegistry

_UNANSWERED: Final[tuple[type[Exception], ...]] = tuple(import_module(name).HTTPError for name in ("httpx2", "httpx") if find_spec(name))
"""Of the library below the client, whose name depends on the client's version."""

_AWAY: Final = frozenset({408, 429, 500, 502, 503, 504})
_LOGIN: Final = frozenset({401, 403})
_MISSING: Final = frozenset({40401, 40402, 40403})
"""No such subject, version or schema. A 404 without one of these is no answer of a registry."""

_SERIALIZED: Final = "serialized"
"""Protobuf files as descriptors instead of text, for which no parser is at hand."""


class RegistryClient:
    """Asks one registry, and explains its errors. Each call may block for seconds.

    Args:
        registry: where it is.
    """

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry

    @property
    def address(self) -> str:
        """Of the registry."""
        return str(self._registry.url)

    def schema(self, schema_id: int) -> StoredSchema | None:
        """The schema of an id; None when there is none.

        Raises:
            RegistryUnreachable, RegistryRefused: the registry does not say.
        """
        with self._asked(f"read schema {schema_id}") as client:
            try:
                found = client.get_schema(schema_id)
                if found.schema_type == PROTOBUF:
                    # Asked for once more and not at once: for other kinds the format means something else. Past its cache, by another name.
                    with self._opened() as again:
                        found = again.get_schema(schema_id, fmt=_SERIALIZED)
            except SchemaRegistryError as error:
                if error.error_code in _MISSING:
                    return None
                raise
            return _stored(client, schema_id, found)

    def latest(self, subject: str) -> StoredSchema:
        """The latest version of a subject.

        Raises:
            RegistryRefused: it has none.
            RegistryUnreachable: the registry does not say.
        """
        with self._asked(f"read the latest version of subject {subject!r}", "Register a schema under it, or correct subject=...") as client:
            found = client.get_latest_version(subject)
            if found.schema.schema_type == PROTOBUF:
                with self._opened() as again:
                    found = again.get_latest_version(subject, fmt=_SERIALIZED)
            return _stored(client, found.schema_id, found.schema)

    def registered(self, subject: str, schema: NewSchema) -> int:
        """Makes a schema the latest version of a subject if it is none of its versions yet: its id.

        Raises:
            SchemaIncompatible: the subject's other versions forbid it.
            RegistryRefused, RegistryUnreachable: the registry does not take it.
        """
        fix = "Correct the schema, or give the user the right to write to the subject"
        with self._asked(f"register a schema under subject {subject!r}", fix, subject) as client:
            return client.register_schema(subject, _given(client, schema, register=True))

    def found(self, subject: str, schema: NewSchema) -> int:
        """The id of a schema among the versions of a subject.

        Raises:
            RegistryRefused: it is none of them.
            RegistryUnreachable: the registry does not say.
        """
        fix = "Register it first, let the sink do so with auto_register=True, or give latest=True to write with the latest version"
        with self._asked(f"find the schema of the sink under subject {subject!r}", fix) as client:
            found: Any = client.lookup_schema(subject, _given(client, schema, register=False))
            return int(found.schema_id)

    # --- asking

    def _opened(self) -> SchemaRegistryClient:
        try:
            return SchemaRegistryClient(self._registry.revealed())
        except (ValueError, TypeError, OSError) as error:
            fix = "See confluent-kafka's SchemaRegistryClient for names and values"
            raise SettingRefused(what="SchemaRegistry(client=...)", name="", reason=str(error), fix=fix) from error

    @contextmanager
    def _asked(self, doing: str, fix: str = "", subject: str = "") -> Iterator[SchemaRegistryClient]:
        try:
            with self._opened() as client:
                yield client
        except SchemaRegistryError as error:
            raise self._explained(error, doing, fix, subject) from error
        except _UNANSWERED as error:
            if _is_certificate(error):
                fix = "Check the address, and the certificate of the authority in client={'ssl.ca.location': ...}"
                raise RegistryRefused(registry=self.address, doing=doing, reason=_text(error), fix=fix) from error
            raise RegistryUnreachable(registry=self.address, doing=doing, reason=_text(error)) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # of the client, which expects JSON of a certain form
            reason = f"what it answers is not the answer of a registry ({_text(error)})"
            raise RegistryRefused(registry=self.address, doing=doing, reason=reason, fix="Check the address") from error

    def _explained(self, error: SchemaRegistryError, doing: str, fix: str, subject: str) -> RegistryError:
        status, reason = error.http_status_code, f"{error.error_message or 'no reason given'} (HTTP {error.http_status_code})"
        if status in _AWAY:
            return RegistryUnreachable(registry=self.address, doing=doing, reason=reason)
        if status == 409 and subject:
            return SchemaIncompatible(registry=self.address, doing=doing, reason=reason, subject=subject)
        if status in _LOGIN:
            fix = "Check username and password, and what this user may do there"
        elif status == 404 and error.error_code not in _MISSING:
            fix = "Check the address: nothing there answers as a registry does"
        return RegistryRefused(registry=self.address, doing=doing, reason=reason, fix=fix or "Ask who runs the registry")


def _stored(client: SchemaRegistryClient, schema_id: Any, schema: Schema) -> StoredSchema:
    referenced: dict[str, str] = {}
    _collect(client, schema, _SERIALIZED if schema.schema_type == PROTOBUF else None, referenced)
    return StoredSchema(int(schema_id), schema.schema_type or "AVRO", schema.schema_str or "", referenced)


def _collect(client: SchemaRegistryClient, schema: Schema, fmt: str | None, referenced: dict[str, str]) -> None:
    for reference in schema.references or ():
        name: Any = reference.name
        if name in referenced:
            continue
        found: Any = client.get_version(reference.subject, reference.version, True, fmt)  # type: ignore[arg-type]  # a reference has both
        _collect(client, found.schema, fmt, referenced)
        referenced[name] = found.schema.schema_str


def _given(client: SchemaRegistryClient, schema: NewSchema, *, register: bool) -> Schema:
    references = []
    for name, imported in schema.imports.items():
        given = _given(client, imported, register=register)
        if register:
            client.register_schema(name, given)
        references.append(SchemaReference(name, name, client.lookup_schema(name, given).version))
    return Schema(schema.text, schema.kind, references)


def _is_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
