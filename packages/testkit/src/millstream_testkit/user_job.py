"""A job of somebody else's, run so that it can be killed and goes on where it was.

    python -m millstream_testkit.user_job --job module:function --source SOURCE --sink SINK --checkpoints FOLDER [options of crash_job]

Environment: as that of `millstream_testkit.crash_job`.
"""

from __future__ import annotations

import argparse
import os

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.config import variable_of
from millstream_testkit.counting import COUNT_VARIABLE, count_passes
from millstream_testkit.errors import HarnessUnusable
from millstream_testkit.loading import load, take_over_import_path


def main() -> None:
    take_over_import_path()
    parser = argparse.ArgumentParser()
    for name in ("job", "source", "sink", "checkpoints"):
        parser.add_argument(f"--{name}", required=True)
    options, _ = parser.parse_known_args()
    os.environ.setdefault(variable_of("state.strict"), "true")
    count_to = os.environ.get(COUNT_VARIABLE)
    write_counts = count_passes(count_to) if count_to else None
    build(options).execute("job under test")
    if write_counts is not None:
        write_counts()


def build(options: argparse.Namespace) -> StreamExecutionEnvironment:
    """The job, with the settings that a test needs.

    Raises:
        HarnessUnusable: the function did not return a job, or one without checkpoints.
    """
    env: object = load(options.job)(options.source, options.sink)
    if not isinstance(env, StreamExecutionEnvironment):
        raise HarnessUnusable(
            harness=options.job.rpartition(":")[2],
            reason=f"it returned {type(env).__name__}, not a StreamExecutionEnvironment",
            fix="Let it build the job and return the environment, without calling execute()",
        )
    if env.settings().checkpoint.interval is None:
        raise HarnessUnusable(
            harness=options.job.rpartition(":")[2],
            reason="the job takes no checkpoints, so that it begins anew after each kill",
            fix="Call env.enable_checkpointing(interval), with an interval of some hundredths of a second for a test",
        )
    env.checkpoint_config.set_checkpoint_storage(options.checkpoints)
    env.set_restart_strategy(RestartStrategies.no_restart())
    env.configure("job.resume", "auto")
    return env


if __name__ == "__main__":
    main()
