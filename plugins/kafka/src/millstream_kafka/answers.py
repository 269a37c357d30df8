"""What brokers answer, while one of them may be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.ports import SystemClock
from millstream_kafka.client import REQUEST_S, Client, KafkaError, KafkaException
from millstream_kafka.interruptible import interruptibly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from millstream_kafka.client import AdminClient

K = TypeVar("K")

_FIRST_S: Final = 3.0
_PATIENCE_S: Final = 30.0
"""For the others to miss a broker and choose another controller: they need 9 s, if not told otherwise."""
_AGAIN_S: Final = 0.1
_UNANSWERED: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT})


def answers(client: Client, admin: AdminClient, doing: str, ask: Callable[[float], Mapping[K, Any]]) -> dict[K, Any]:
    """What each question is answered, or the KafkaError.

    The library asks the brokers that it has heard of last. One that has died it asks until the time is over, and does not learn of its own
    accord who is there now. So a question gets little time at first, and is asked again when it has heard of the others anew.

    Args:
        doing: what was to be done, for errors.
        ask: gives futures, told how long to wait for answers, in seconds; called again where there is none, so that it may have been done before.

    Raises:
        KafkaUnreachable, KafkaRefused, KafkaFailed: no broker answers.
    """
    clock = SystemClock()
    begun_s, wait_s = clock.monotonic_s(), _FIRST_S
    while True:
        found = {key: _answer(future) for key, future in ask(wait_s).items()}
        unanswered = any(isinstance(answer, KafkaError) and answer.code() in _UNANSWERED for answer in found.values())
        if not unanswered or clock.monotonic_s() - begun_s > _PATIENCE_S:
            return found
        wait_s = min(2 * wait_s, REQUEST_S)
        try:
            interruptibly(lambda: admin.list_topics(timeout=REQUEST_S - _FIRST_S))
        except KafkaException as error:
            client.fail(doing, error)
        admin.poll(_AGAIN_S)


def _answer(future: Any) -> Any:
    try:
        return future.result()
    except KafkaException as error:
        return error.args[0]
