"""Builds the images of the services that the tests need, where they cannot be pulled.

    python integration-tests/images/build.py [kafka:4.1.0 kafka:3.9.1 ...]

Everything comes from Debian's package mirror (the one this machine's apt uses) and Maven Central. An image that is there already is left as it is.
With `--engine`, Docker is installed and started before, when none answers: for a CI machine; it takes root and apt.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
BASE = "millstream-it/base:bookworm"
IMAGES = ("kafka:4.1.0", "kafka:3.9.1")
DEFAULT_MIRROR = "http://deb.debian.org/debian"
ENGINE_STARTS_S = 60
ENGINE_LEFTOVERS = (Path("/var/run/docker.pid"), Path("/var/run/docker/containerd/containerd.pid"))


def run(*command: str, cwd: Path | None = None) -> None:
    """Runs a command; what it prints is shown only when it fails."""
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}\n{command[0]} ended with exit code {done.returncode}")


def engine_answers() -> bool:
    """Whether a container engine can be talked to."""
    return shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def install(*packages: str) -> None:
    """Installs packages of Debian."""
    run("apt-get", "update", "-qq")
    run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)


def start_engine() -> None:
    """Installs Docker if it is missing, and starts it: without a bridge, so that containers share the network of the machine."""
    if engine_answers():
        return
    if shutil.which("dockerd") is None:
        install("docker.io")
    if engine_answers():  # the package has started it
        return
    for leftover in ENGINE_LEFTOVERS:  # of a daemon that was killed
        leftover.unlink(missing_ok=True)
    log = Path(tempfile.gettempdir(), "dockerd.log")
    with log.open("w") as output:
        command = ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=overlay2"]
        subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    over_s = time.monotonic() + ENGINE_STARTS_S
    while not engine_answers():
        if time.monotonic() > over_s:
            sys.exit(f"dockerd did not start within {ENGINE_STARTS_S} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


def has_image(name: str) -> bool:
    """Whether the engine has it."""
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0


def mirror() -> str:
    """Where this machine's apt gets the packages of Debian from."""
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        if file.is_file():
            found = re.search(r"^(?:URIs:|deb(?: \[.*\])?)\s+(\S+/debian/?)(?:\s|$)", file.read_text(), re.MULTILINE)
            if found:
                return found[1]
    return DEFAULT_MIRROR


def build_base() -> None:
    """A minimal Debian."""
    if has_image(BASE):
        return
    if shutil.which("debootstrap") is None:
        install("debootstrap")
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        run("debootstrap", "--variant=minbase", "bookworm", str(root), mirror())
        run("tar", "-C", str(root), "-cf", str(archive), ".")
        run("docker", "import", str(archive), BASE)


def build_kafka(version: str, context: Path) -> None:
    """Fetches the jars of a broker."""
    if shutil.which("mvn") is None:
        install("maven")
    run("mvn", "-q", "-B", "dependency:copy-dependencies", f"-Dkafka.version={version}", "-DoutputDirectory=libs", cwd=context)


PREPARE = {"kafka": build_kafka}
"""What has to be in the folder of an image before it is built, by its name."""


def build(image: str) -> None:
    """Builds one image, if it is missing."""
    name, _, version = image.partition(":")
    tag = f"millstream-it/{image}"
    if has_image(tag):
        print(f"{tag} is there")
        return
    build_base()
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder, name)
        shutil.copytree(HERE / name, context)
        PREPARE[name](version, context)
        run("docker", "build", "--network", "host", "--build-arg", f"BASE={BASE}", "-t", tag, str(context))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", nargs="*", metavar="NAME:VERSION", help=f"of these: {', '.join(IMAGES)} (default: all)")
    parser.add_argument("--engine", action="store_true", help="install and start Docker when none answers")
    options = parser.parse_args()
    unknown = set(options.images) - set(IMAGES)
    if unknown:
        parser.error(f"there is no image {', '.join(sorted(unknown))}: there are {', '.join(IMAGES)}")
    if options.engine:
        if os.geteuid() != 0 and not engine_answers():
            sys.exit("No container engine answers, and only root can start one. Start Docker or Podman.")
        start_engine()
    for image in options.images or IMAGES:
        build(image)


if __name__ == "__main__":
    main()
