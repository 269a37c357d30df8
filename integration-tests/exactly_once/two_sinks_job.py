"""The coldest reading per sensor and five seconds, from CSV files to a folder and to a database, both exactly once."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from millstream import RestartStrategies, StreamExecutionEnvironment, TumblingEventTimeWindows, WatermarkStrategy
from millstream_filesystem import FileSink, FileSource
from millstream_testkit.ledger import SqliteLedgerSink


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("input", "files", "database", "checkpoints"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()

    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    env.enable_checkpointing(timedelta(milliseconds=100))
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.set_restart_strategy(RestartStrategies.no_restart())
    env.configure("job.resume", "auto")

    source: FileSource[Any] = FileSource(options.input, format="json", records_per_second=2_000)
    in_time = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(seconds=1)).with_timestamp_assigner(lambda reading: reading[1])
    coldest = (
        env.from_source(source, watermark_strategy=in_time, uid="readings")
        .key_by(lambda reading: reading[0])
        .window(TumblingEventTimeWindows.of(timedelta(seconds=5)))
        .reduce(lambda a, b: b if b[2] < a[2] else a, uid="coldest")
        .map(lambda reading: (reading[0], reading[1] // 5_000, reading[2]))
    )
    coldest.sink_to(FileSink(options.files, format="json", delivery="exactly_once"), uid="files")
    coldest.sink_to(SqliteLedgerSink(options.database, "coldest", ("sensor", "window", "degrees")), uid="database")
    env.execute("two sinks")


if __name__ == "__main__":
    main()
