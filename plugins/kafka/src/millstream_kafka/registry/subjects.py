"""Names of subjects, under which a registry keeps the versions of a schema."""

from __future__ import annotations

from string import Formatter
from typing import Final, Literal, TypeAlias

from millstream.errors import InvalidArgument

Part: TypeAlias = Literal["key", "value"]

BY_TOPIC: Final = "{topic}-{part}"
"""What Confluent calls TopicNameStrategy. RecordNameStrategy is `{record}`, TopicRecordNameStrategy `{topic}-{record}`."""

_KNOWN: Final = frozenset({"topic", "part", "record"})


def fields_of(template: str) -> frozenset[str]:
    """Names in braces. Raises ValueError where braces do not pair."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def check_subject(what: str, template: str) -> None:
    """Raises InvalidArgument for a template that names no subject.

    Args:
        what: whose option it is, for errors: `AvroFormat`.
    """
    try:
        fits = bool(template) and fields_of(template) <= _KNOWN
    except (TypeError, ValueError):
        fits = False
    if not fits:
        allowed = 'the name of a subject, in which "{topic}", "{part}" (key or value) and "{record}" (name of the record\'s schema) may stand'
        raise InvalidArgument(what=f"{what}(subject=...)", value=repr(template), allowed=allowed)


def subject_of(what: str, template: str, topic: str | None, part: Part, record: str | None) -> str:
    """The subject of a topic and a record.

    Args:
        what: whose option it is, for errors.
        template: that `check_subject` has passed.
        topic: None where a format is used outside of a Kafka source or sink.
        part: of the message.
        record: full name of the record's schema; None where it is not known before the subject is.

    Raises:
        InvalidArgument: the template asks for what is not known.
    """
    wanted = fields_of(template)
    if topic is None and "topic" in wanted:
        allowed = "a subject without {topic} where the format is used outside of KafkaSource and KafkaSink"
        raise InvalidArgument(what=f"{what}(subject=...)", value=repr(template), allowed=allowed)
    if record is None and "record" in wanted:
        allowed = "a subject without {record} for a sink with latest=True, which learns from the subject what the record is"
        raise InvalidArgument(what=f"{what}(subject=...)", value=repr(template), allowed=allowed)
    return template.format(topic=topic, part=part, record=record)
