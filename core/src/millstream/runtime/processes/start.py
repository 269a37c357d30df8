"""Starting a process of this interpreter that runs our code: never by fork, and with connections that it inherits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from millstream.ports.signals import ENDING
from millstream.runtime.processes.output import ForwardedOutput, is_replaced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOOTSTRAP: Final = (
    # What imports make stays: the cyclic collector, which finds nothing among it, is a tenth of the time they take. Whoever is started turns
    # it on again.
    "import gc; gc.disable(); import json, sys; told = sys.argv.pop(); sys.path[:] = json.loads(told)['path']; from {module} import main; main(told)"
)


def start_process(
    name: str, module: str, told: Mapping[str, Any], inherited: Sequence[int]
) -> tuple[subprocess.Popen[bytes], tuple[ForwardedOutput, ...]]:
    """Runs `main(told as JSON)` of a module in a new process, and says what of its output this one has to hand on.

    Args:
        name: for lists of processes.
        inherited: file descriptors.

    Raises:
        OSError: it cannot be started.
    """
    argument = json.dumps({"name": name, "path": [entry for entry in sys.path if isinstance(entry, str)], **told})
    outputs = {stream: ForwardedOutput(stream) for stream in ("stdout", "stderr") if is_replaced(stream)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # until it has learnt to ignore them
    try:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, with our own code
            [sys.executable, *subprocess._args_from_interpreter_flags(), "-c", _BOOTSTRAP.format(module=module), f"millstream-{name}", argument],  # type: ignore[attr-defined]
            stdin=subprocess.DEVNULL,
            stdout=outputs["stdout"].writer if "stdout" in outputs else None,
            stderr=outputs["stderr"].writer if "stderr" in outputs else None,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"} if outputs else None,
            pass_fds=inherited,
        )
    except OSError:
        for output in outputs.values():
            output.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for output in outputs.values():
            output.started()
    return process, tuple(outputs.values())


def leave_signals_to_the_program() -> None:
    """In a process that was started so: Ctrl-C goes to every process of a terminal, and some supervisors end every process of a group."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
