"""How the command words things."""

from __future__ import annotations

import pytest

from millstream.cli.texts import serializer_text
from millstream.contracts.serializer import SerializerDescription
from millstream.state.serializers import Annotation, DataCodec, TypedSerializer, serializer_for


def mixed() -> SerializerDescription:
    serializer = serializer_for(None, Annotation(int, "total"))
    serializer.encode(1)
    serializer.encode("one")
    return serializer.description()


@pytest.mark.parametrize(
    ("description", "text"),
    [
        (TypedSerializer(int).description(), "typed int"),
        (DataCodec().description(), "data codec"),
        (mixed(), "typed int where values matched the annotation, data codec otherwise"),
        (SerializerDescription("vector", 1, "job:Vector"), "registered 'vector' (job:Vector)"),
    ],
)
def test_how_values_are_written_is_told_in_a_few_words(description: SerializerDescription, text: str) -> None:
    assert serializer_text(description) == text
