"""Orders that are malformed, that a function fails on, or that a sink cannot write: all set aside, exactly once, beside the good ones."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from millstream import RestartStrategies, StreamExecutionEnvironment, dead_letter
from millstream_filesystem import FileSink, FileSource


def price(order: dict[str, Any]) -> dict[str, Any]:
    """Fails on orders of no pieces, and makes something of every seventh that JSON has no form for."""
    each = order["total"] // order["pieces"]
    return {"number": order["number"], "each": complex(each, 0) if order["number"] % 7 == 0 else each}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("input", "files", "database", "checkpoints"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()

    def letters(kind: str) -> Any:
        return dead_letter(FileSink(f"{options.files}-{kind}", format="json", delivery="exactly_once"))

    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    env.enable_checkpointing(timedelta(milliseconds=100))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.set_restart_strategy(RestartStrategies.no_restart())
    env.configure("job.resume", "auto")
    source: FileSource[Any] = FileSource(options.input, format="json", records_per_second=2_000)
    orders = env.from_source(source, uid="orders", on_error=letters("source"))
    priced = orders.rebalance().map(price, uid="price", on_error=letters("function"))
    priced.sink_to(FileSink(options.files, format="json", delivery="exactly_once"), uid="out", on_error=letters("sink"))
    env.execute("dead letters")


if __name__ == "__main__":
    main()
