"""`millstream kafka transactions`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from millstream.ports import SystemClock
from millstream_kafka.commands.connecting import connected, connection_options
from millstream_kafka.commands.ending import check, decide, fence, look
from millstream_kafka.commands.texts import began_text, duration_text, partitions_text, plain, print_description, print_json, print_list
from millstream_kafka.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_kafka.commands.ending import Verb
    from millstream_kafka.transaction import Description

STATES: Final = ("Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Empty", "Dead", "PrepareEpochFence")
_AT_STAKE: Final = {
    "commit": (
        "A commit shows what it wrote to read_committed readers, for good. If no complete checkpoint vouches for these records, the job writes "
        "them again when it goes on, and readers see them twice; and they see half an epoch, if its producer was not done with it."
    ),
    "abort": (
        "An abort throws away what it wrote, for good. If a complete checkpoint vouches for these records, they are lost: a job with "
        'delivery="exactly_once_2pc" would have committed them when it goes on, and ends with LostEpoch instead.'
    ),
}
_DONE: Final = {"commit": "Committed", "abort": "Aborted"}

_id = click.argument("transactional_id", metavar="ID")
_json = click.option("--json", "as_json", is_flag=True, help="As JSON, for other programs.")


@click.group(short_help="List, describe, commit and abort transactions.")
def transactions() -> None:
    """Looks up transactions, and ends those whose job will not.

    A job ends its own when it goes on from its checkpoints: start it again if you can. An open transaction holds back all read_committed readers
    of its partitions until its timeout.

    Needs a second client library: pip install 'millstream-kafka[2pc]'.
    """


@transactions.command("list", short_help="Which transactional ids the brokers know.")
@connection_options
@click.option("--prefix", default="", help="Only ids that begin so; those of a sink begin with its transactional_id_prefix.")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES, case_sensitive=False), help="Only those in this state. Repeatable.")
@_json
def list_transactions(servers: str, settings: tuple[str, ...], timeout_s: float, prefix: str, states: tuple[str, ...], as_json: bool) -> None:
    """Lists transactional ids with producer id and state: those that the user may describe.

    Ongoing is open. Ids stay for 7 days after they were used last, unless the brokers are told otherwise.

    Exit codes: 0, also if there are none; 1 the brokers cannot be asked; 2 wrong usage.
    """
    with connected(servers, settings, timeout_s) as both:
        found = patiently(lambda: both.transactions.listed(prefix, states), both.timeout_s)
    if as_json:
        print_json(found)
    elif found:
        print_list(found)
    else:
        click.echo("The brokers know no such transactional id.", err=True)


@transactions.command(short_help="What the brokers know of one.")
@_id
@connection_options
@_json
def describe(transactional_id: str, servers: str, settings: tuple[str, ...], timeout_s: float, as_json: bool) -> None:
    """Shows state, producer, timeout, age and partitions of the transactional id ID.

    Exit codes: 0 shown; 1 there is no such id, or the brokers cannot be asked; 2 wrong usage.
    """
    with connected(servers, settings, timeout_s) as both:
        found = look(both, transactional_id)
    now_ms = SystemClock().now_ms()
    if as_json:
        print_json(plain(found, now_ms))
    else:
        print_description(found, now_ms)


def _ending_options(command: Callable[..., None]) -> Callable[..., None]:
    options: list[Callable[[Callable[..., None]], Callable[..., None]]] = [
        _id,
        connection_options,
        click.option("--producer-id", type=click.IntRange(min=0), help="End it only if it is this producer's, with --producer-epoch."),
        click.option("--producer-epoch", type=click.IntRange(min=0), help="End it only if it is of this epoch, with --producer-id."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        _json,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@transactions.command(short_help="Commit an open transaction.")
@_ending_options
def commit(**options: Any) -> None:
    """Commits the open transaction of the transactional id ID, and fences its producer. Stop its job first.

    What it wrote becomes visible, whether or not a checkpoint vouches for it. Shows what is at stake and asks, unless told --yes.

    Exit codes: 0 committed; 1 it is not open, was not confirmed, or the brokers refuse; 2 wrong usage; 130 interrupted.
    """
    _end("commit", **options)


@transactions.command(short_help="Abort an open transaction.")
@_ending_options
def abort(**options: Any) -> None:
    """Aborts the open transaction of the transactional id ID, and fences its producer. Stop its job first.

    What it wrote is lost, whether or not a checkpoint vouches for it. Shows what is at stake and asks, unless told --yes.

    Exit codes: 0 aborted; 1 it is not open, was not confirmed, or the brokers refuse; 2 wrong usage; 130 interrupted.
    """
    _end("abort", **options)


def _end(
    verb: Verb,
    transactional_id: str,
    servers: str,
    settings: tuple[str, ...],
    timeout_s: float,
    producer_id: int | None,
    producer_epoch: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    given = _given(producer_id, producer_epoch)
    try:
        with connected(servers, settings, timeout_s) as both:
            shown = look(both, transactional_id)
            check(shown, verb, given)
            if not yes:
                _ask(verb, shown, servers)
            decided = decide(both, shown, verb)
            # Said before the next step: if that fails, this stands.
            click.echo(f"{_DONE[verb]} transaction {transactional_id!r}: it is {decided.state}.", err=True)
            now = fence(both, decided, shown)
    except KeyboardInterrupt:  # click would say "Aborted!", which is not what happened to the transaction
        click.echo("\nInterrupted. `millstream kafka transactions describe` says what became of the transaction.", err=True)
        raise click.exceptions.Exit(130) from None
    now_ms = SystemClock().now_ms()
    if as_json:
        print_json({"transactional_id": transactional_id, "asked": verb, "decided": plain(decided, now_ms), "now": plain(now, now_ms)})
        return
    click.echo("Its producer is fenced. The coordinator says now:", err=True)
    print_description(now, now_ms)


def _given(producer_id: int | None, producer_epoch: int | None) -> tuple[int, int] | None:
    if producer_id is None and producer_epoch is None:
        return None
    if producer_id is None or producer_epoch is None:
        raise click.UsageError("Give both --producer-id and --producer-epoch, or none: one alone does not say which transaction is meant.")
    return producer_id, producer_epoch


def _ask(verb: Verb, shown: Description, servers: str) -> None:
    """Returns when the user has typed the verb; ends the command otherwise."""
    lines = [
        f"Transaction {shown.transactional_id!r} at {servers} is {shown.state}.",
        f"  producer   {shown.producer_id}, epoch {shown.producer_epoch}",
        f"  began      {began_text(shown, SystemClock().now_ms())}; timeout {duration_text(shown.timeout_ms)}",
        f"  writes to  {partitions_text(shown)}",
        "",
        _AT_STAKE[verb],
        "Its producer is fenced in any case. Stop its job first, if it still runs.",
        "",
    ]
    click.echo("\n".join(lines), err=True)
    click.echo(f'Type "{verb}" to {verb} it, anything else to leave it: ', err=True, nl=False)
    try:
        typed = sys.stdin.readline()
    except KeyboardInterrupt:
        click.echo("\nNothing was changed.", err=True)
        raise click.exceptions.Exit(130) from None
    if typed.strip() != verb:
        hint = "" if typed else " Nobody can answer here: give --yes to end it without a question."
        click.echo(f"{'' if typed else chr(10)}Nothing was changed.{hint}", err=True)
        raise click.exceptions.Exit(1)
