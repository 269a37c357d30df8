"""`millstream demo kafka`."""

from __future__ import annotations

import importlib
import secrets
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from millstream.errors import InvalidArgument
from millstream_kafka.client import Client
from millstream_kafka.demo.readings import lowest
from millstream_kafka.demo.topics import DemoTopics
from millstream_kafka.settings import REFUSED_BY_SINK, connection

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT: Final = Path(__file__).with_name("sensors.py")
_SHOWN: Final = 5


@click.command()
@click.option("--bootstrap-servers", metavar="HOST:PORT", help="A broker that is there; without it one is started in a container.")
@click.option("--readings", "count", type=click.IntRange(1_000), default=300_000, show_default=True, help="Messages in all.")
@click.option("--rate", type=click.FloatRange(1), default=10_000, show_default=True, help="Messages a second.")
@click.option("--keep", is_flag=True, help="Leave the topics on the broker.")
def demo(bootstrap_servers: str | None, count: int, rate: float, keep: bool) -> None:
    """Runs a job of sensor readings from one topic to another, exactly once, and shows it live.

    Writes readings to a topic of its own while `millstream run` shows the job (its script is printed: a good beginning for one of your own).
    Then reads the results with read_committed, compares them with the input, and removes the topics.

    Exit codes: 0 every result was there once, and right; 1 not so, or the job failed.
    """
    with _broker(bootstrap_servers) as address, tempfile.TemporaryDirectory(prefix="millstream-demo-") as folder:
        client = Client(connection("millstream demo kafka", address, {}, REFUSED_BY_SINK), "millstream demo kafka")
        topics = DemoTopics(client, secrets.token_hex(4))
        topics.make()
        try:
            _demonstrate(address, topics, folder, count, rate)
        finally:
            if not keep:
                topics.remove()


def _demonstrate(address: str, topics: DemoTopics, folder: str, count: int, rate: float) -> None:
    seed = secrets.randbelow(1_000_000)
    click.echo(f"Broker {address}: {count:,} readings go to topic {topics.input}, results to {topics.output}. The job: {SCRIPT}")
    over = threading.Event()
    feeding = threading.Thread(target=topics.feed, args=(count, seed, rate, over), daemon=True)
    feeding.start()
    arguments = [f"--bootstrap-servers={address}", f"--input={topics.input}", f"--output={topics.output}", f"--checkpoints={folder}/checkpoints"]
    command = [sys.executable, "-m", "millstream", "run", str(SCRIPT), "--", *arguments, "--until", *map(str, topics.ends(count, seed))]
    try:
        done = subprocess.run(command, check=False)  # noqa: S603 - the script beside this file
    finally:
        over.set()
        feeding.join()
    if done.returncode:
        raise click.exceptions.Exit(1)
    _judge(topics.results(), lowest(count, seed))


def _judge(results: list[str], expected: dict[tuple[str, int], float]) -> None:
    """Says what came out.

    Raises:
        click.exceptions.Exit: it is not what it should be.
    """
    found: dict[tuple[str, int], float] = {}
    doubled = 0
    for result in results:
        sensor, start, temperature = result.split(",")
        doubled += (sensor, int(start)) in found
        found[sensor, int(start)] = float(temperature)
    click.echo("\n".join(["The last results:", *(f"  {result}" for result in results[-_SHOWN:])]))
    wrong = len(expected.keys() - found.keys()), doubled, sum(found[window] != expected.get(window) for window in found)
    if any(wrong):
        click.echo("Wrong: {} results are missing, {} are there twice, {} are not right.".format(*wrong), err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"Exactly once: {len(found):,} results, each there once and right, as a reader with read_committed sees them.")


@contextmanager
def _broker(given: str | None) -> Iterator[str]:
    """The address of a broker: the one that is there, or one in a container for as long as this lasts.

    Raises:
        InvalidArgument: the testkit, which starts containers, is not installed.
        ServiceUnavailable: there is no container engine.
    """
    if given is not None:
        yield given
        return
    try:
        services = importlib.import_module("millstream_testkit.services")
    except ImportError:
        raise InvalidArgument(
            what="millstream demo kafka",
            value="no --bootstrap-servers",
            allowed='the address of a broker, or `pip install "millstream-testkit[kafka]"` and a container engine to start one',
        ) from None
    click.echo("Starting a broker in a container ...", err=True)
    with services.running_kafka() as service:
        yield service.bootstrap
