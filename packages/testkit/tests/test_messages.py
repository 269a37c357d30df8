from __future__ import annotations

from typing import Any

import pytest

from millstream.errors import InvalidArgument
from millstream.ports import LocalTransport
from millstream_testkit.messages import FaultyTransport


def received(rules: str, *messages: object) -> list[Any]:
    transport = FaultyTransport(LocalTransport(), rules)
    inbox: list[Any] = []
    transport.bind("task", inbox.append)
    for message in messages:
        transport.send("coordinator", "task", message)
    return inbox


@pytest.mark.parametrize(
    ("rules", "arrives"),
    [
        ("", [1, 2, 3]),
        ("int#2=drop", [1, 3]),
        ("int#2=double", [1, 2, 2, 3]),
        ("int#1=hold", [2, 1, 3]),
        ("int#3=hold", [1, 2]),
        ("int#1=drop, int#2=hold", [3, 2]),
        ("str#2=drop", [1, 2, 3]),
    ],
)
def test_the_nth_message_of_a_type_meets_its_fate(rules: str, arrives: list[int]) -> None:
    assert received(rules, 1, 2, 3) == arrives


def test_messages_of_other_types_and_to_other_receivers_are_counted_apart() -> None:
    transport = FaultyTransport(LocalTransport(), "int#2=drop")
    inbox: list[Any] = []
    other: list[Any] = []
    transport.bind("task", inbox.append)
    transport.bind("other", other.append)
    for message in (1, "a", 2, 3):
        transport.send("coordinator", "task", message)
        transport.send("coordinator", "other", message)
    assert inbox == other == [1, "a", 3]


def test_a_rule_for_one_receiver_leaves_the_others_alone() -> None:
    transport = FaultyTransport(LocalTransport(), "int@task/1/#1=drop")
    inbox: list[Any] = []
    other: list[Any] = []
    transport.bind("task/1/0", inbox.append)
    transport.bind("task/10/0", other.append)
    for message in (1, 2):
        transport.send("coordinator", "task/1/0", message)
        transport.send("coordinator", "task/10/0", message)
    assert (inbox, other) == ([2], [1, 2])


def test_nobody_hears_what_is_sent_after_unbinding() -> None:
    transport = FaultyTransport(LocalTransport(), "")
    inbox: list[Any] = []
    transport.bind("task", inbox.append)
    transport.unbind("task")
    transport.send("coordinator", "task", 1)
    assert inbox == []


@pytest.mark.parametrize("rule", ["int=drop", "int#x=drop", "int#1=lose", "int#1"])
def test_a_rule_of_another_form_is_refused(rule: str) -> None:
    with pytest.raises(InvalidArgument, match="message fault"):
        FaultyTransport(LocalTransport(), rule)
