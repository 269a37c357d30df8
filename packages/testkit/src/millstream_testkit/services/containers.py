"""Containers of tests: labelled with the process they belong to, and removed at its end or by the next process that starts one."""

from __future__ import annotations

import atexit
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from millstream_testkit.services.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from docker.models.containers import Container as DockerContainer

LABEL: Final = "org.millstream.testkit.owner"
LIFE_S: Final = 2 * 60 * 60
"""A container whose owner could not remove it ends by itself."""


class Container:
    """A server in a container that can be crashed: its data outlives `kill` and `start`.

    Args:
        service: its name, for errors.
        images: the first that is there is taken, else the last is pulled.
        command: what runs in it, a line of `sh`.
        environment: for the command.
        ports: those the server listens on: the same inside and outside.

    Raises:
        ServiceUnavailable: no container engine runs, the image cannot be had, or it does not start.
    """

    def __init__(self, service: str, images: Sequence[str], command: str, environment: Mapping[str, str], ports: Sequence[int]) -> None:
        client = _client(service)
        _remove_leftovers(client)
        image = _image(client, service, images)
        # Where the engine has no bridge there is no port mapping either, and a container shares the network of the machine.
        bridged = any(network.attrs.get("Driver") == "bridge" for network in client.networks.list())
        self.listens_on = "0.0.0.0" if bridged else "127.0.0.1"  # noqa: S104 - inside of the container
        line = f"exec timeout -s KILL {LIFE_S} sh -c '{command}'"
        try:
            self._container = _run(image, line, {**environment, "LISTENS_ON": self.listens_on}, ports if bridged else None)
        except Exception as error:
            raise ServiceUnavailable(
                service=service, reason=f"a container of {image} does not start: {error}", fix="See what `docker run` says of it"
            ) from error
        atexit.register(self.remove)

    def kill(self) -> None:
        """Ends the server with SIGKILL, and waits until it is gone."""
        self._container.kill("SIGKILL")
        self._container.wait(timeout=30)

    def start(self) -> None:
        """Starts it again, with the data it had."""
        self._container.start()

    def pause(self) -> None:
        """Lets it stand still: connections stay open, and nothing answers."""
        self._container.pause()

    def unpause(self) -> None:
        """Lets it go on."""
        self._container.unpause()

    def log(self) -> str:
        """The last lines it has written."""
        return bytes(self._container.logs(tail=40)).decode(errors="replace")

    def is_running(self) -> bool:
        """Whether it has not ended."""
        self._container.reload()
        return bool(self._container.status in ("running", "paused"))

    def remove(self) -> None:
        """Ends it and deletes its data."""
        atexit.unregister(self.remove)
        self._container.remove(force=True, v=True)


def _client(service: str) -> Any:
    try:
        import docker
        import testcontainers  # noqa: F401 - is it there?
    except ImportError as error:
        raise ServiceUnavailable(
            service=service,
            reason="the package testcontainers is not installed",
            fix=f"Install millstream-testkit[{service}], or set MILLSTREAM_TEST_{service.upper()} to the address of a server",
        ) from error
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except docker.errors.DockerException as error:
        raise ServiceUnavailable(
            service=service,
            reason=f"no container engine answers ({error})",
            fix=f"Start Docker or Podman, or set MILLSTREAM_TEST_{service.upper()} to the address of a server",
        ) from error
    return client


def _image(client: Any, service: str, images: Sequence[str]) -> str:
    import docker

    for image in images:
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            continue
        return image
    try:
        client.images.pull(images[-1])
    except docker.errors.DockerException as error:
        raise ServiceUnavailable(
            service=service,
            reason=f"the image {images[-1]} is not there and cannot be pulled ({error})",
            fix="Pull it where a registry can be reached, or build ours with `python integration-tests/images/build.py`",
        ) from error
    return images[-1]


def _run(image: str, line: str, environment: Mapping[str, str], ports: Sequence[int] | None) -> DockerContainer:
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer as Started

    testcontainers_config.ryuk_disabled = True  # its image cannot be had everywhere; we remove what we have started
    container = Started(image).with_kwargs(
        entrypoint=["sh", "-c", line], labels={LABEL: _owner()}, **({"network_mode": "host"} if ports is None else {})
    )
    for port in ports or ():
        container.with_bind_ports(port, ("127.0.0.1", port))  # type: ignore[arg-type]  # docker takes such a pair
    container.with_envs(**environment).start()
    return container.get_wrapped_container()


def _owner() -> str:
    return f"{os.getpid()}-{_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process was started, where the system says so: numbers of processes are used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _is_alive(owner: str) -> bool:
    pid, _, started = owner.partition("-")
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return _started(int(pid)) == started


def _remove_leftovers(client: Any) -> None:
    """Removes containers whose owner was killed."""
    import docker

    for container in client.containers.list(all=True, filters={"label": LABEL}):
        if not _is_alive(container.labels[LABEL]):
            try:
                container.remove(force=True, v=True)
            except docker.errors.APIError:  # another process was faster
                time.sleep(0.1)
