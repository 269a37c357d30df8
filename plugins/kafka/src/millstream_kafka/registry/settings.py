"""Where a schema registry is and how to log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from millstream.config import Secret, redact_url
from millstream.errors import InvalidArgument
from millstream_kafka.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECRETS: Final = frozenset({"bearer.auth.client.secret", "bearer.auth.token", "ssl.key.password"})
_REFUSED: Final = {
    "url": ("the address has an argument of its own", "Give SchemaRegistry(url)"),
    "basic.auth.user.info": ("name and password have arguments of their own", "Give username=... and password=Secret(...)"),
}
# The library's own defaults wait for ever, and a job that stops would wait with them.
_BETTER: Final = {"timeout": 5, "max.retries": 2, "retries.wait.ms": 200, "retries.max.wait.ms": 1000}


@dataclass(frozen=True)
class SchemaRegistry:
    """A registry that speaks the REST API of Confluent's.

    Args:
        url: `https://registry:8081`, or several addresses of one registry.
        username: for HTTP's basic authentication.
        password: goes with it, as `Secret("${env:NAME}")`. Shown nowhere, and followed each time the registry is asked.
        client: further settings of confluent-kafka's SchemaRegistryClient, by name: TLS (`ssl.ca.location`, `ssl.certificate.location`,
            `ssl.key.location`, `ssl.key.password`), `timeout` in seconds, `max.retries`, bearer tokens.

    Raises:
        InvalidArgument: an option makes no sense.
        SettingRefused: a setting has an argument of its own.
    """

    url: str | Sequence[str]
    username: str | None = None
    password: Secret[str] | str | None = None
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        urls = [self.url] if isinstance(self.url, str) else list(self.url)
        urls = [one.strip().rstrip("/") for one in ",".join(urls).split(",")]
        for one in urls:
            _check_url(one)
        object.__setattr__(self, "url", ",".join(urls))
        if (self.username is None) != (self.password is None) or ":" in (self.username or ""):
            value = f"{self.username!r} {'without' if self.password is None else 'with'} a password"
            raise InvalidArgument(
                what="SchemaRegistry(username=...)", value=value, allowed="a name without a colon together with password=..., or neither"
            )
        if self.password is not None:
            object.__setattr__(self, "password", Secret.of(self.password))
        object.__setattr__(self, "client", {name: _checked(name, value) for name, value in self.client.items()})

    def revealed(self) -> dict[str, Any]:
        """Settings of the client, secrets in the clear. Keep them nowhere.

        Raises:
            SecretUnavailable: a reference leads nowhere.
        """
        settings = {name: value.reveal() if isinstance(value, Secret) else value for name, value in self.client.items()}
        if isinstance(self.password, Secret):
            settings["basic.auth.user.info"] = f"{self.username}:{self.password.reveal()}"
        if not any(url.startswith("https:") for url in str(self.url).split(",")):
            settings.setdefault("ssl.ca.location", False)  # else the client reads all authorities, for a tenth of a second, each time
        return {**_BETTER, **settings, "url": self.url}


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and not parts.query and parts.port != 0
    except ValueError:  # a port that is no number
        fits = False
    if not fits:
        allowed = 'an address such as "https://registry:8081", with the name and password, if any, as username=... and password=...'
        raise InvalidArgument(what="SchemaRegistry(url)", value=repr(redact_url(url)), allowed=allowed)


def _checked(name: str, value: object) -> object:
    if name in _REFUSED:
        reason, fix = _REFUSED[name]
        raise SettingRefused(what="SchemaRegistry(client=...)", name=name, reason=reason, fix=fix)
    if name in _SECRETS and isinstance(value, str):
        return Secret(value)
    if not isinstance(value, str | int | float | bool | Secret):
        shown = f"{name!r}: {type(value).__name__}"
        raise InvalidArgument(what="SchemaRegistry(client=...)", value=shown, allowed="a text, a number, True, False or a Secret")
    return value
