"""A network that fails when it is told to: a proxy between a client and its server, with faults to switch on and off.

Example:
    with NetworkProxy("127.0.0.1:9092") as proxy:
        with proxy.cut("downstream"):
            ...  # what a client sends arrives, and no answer comes back
"""

from __future__ import annotations

from millstream_testkit.services.network.faults import Bandwidth, Connections, Cut, DataLimit, Fault, Latency, Refusal, SlowClose, Way, Ways
from millstream_testkit.services.network.proxy import NetworkProxy
from millstream_testkit.services.network.traffic import Carried, Traffic

__all__ = [
    "Bandwidth",
    "Carried",
    "Connections",
    "Cut",
    "DataLimit",
    "Fault",
    "Latency",
    "NetworkProxy",
    "Refusal",
    "SlowClose",
    "Traffic",
    "Way",
    "Ways",
]
