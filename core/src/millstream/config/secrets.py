"""Secrets: given by reference where possible, read where they are used, shown nowhere."""

from __future__ import annotations

import hmac
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from millstream.errors import SecretUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=str)

HIDDEN: Final = "***"
_REFERENCE: Final = re.compile(r"\$(\$\{)|\$\{([^{}]*)(\}?)")
_USER_INFO: Final = re.compile(r"(://[^/?#@\s'\":]*):[^/?#\s'\"]*@")


def redact_url(text: str) -> str:
    """Hides the passwords of all URLs in a text.

    >>> redact_url("cannot reach redis://app:hunter2@cache:6379/0")
    'cannot reach redis://app:***@cache:6379/0'
    """
    return _USER_INFO.sub(rf"\1:{HIDDEN}@", text)


class Secret(Generic[S]):
    """A text that is never shown, such as a password or a URL that holds one.

    The text may hold references, which are followed each time the secret is revealed, on the machine that needs it:
    `${env:NAME}` is an environment variable, `${file:/path}` a UTF-8 file without its last line end. `$${` stands for `${`
    itself. What is not a reference is the secret itself; it travels to the workers of the job with the options it is part of,
    which a reference avoids.

    `str()`, `repr()`, formatting and errors show references and hide everything else. Two secrets are equal if they were
    written the same way; nothing is read to compare them.

    Args:
        text: the secret, or what refers to it.

    Raises:
        SecretUnavailable: a reference of an unknown kind.

    >>> Secret("redis://:${env:CACHE_PASSWORD}@cache:6379/0")
    Secret(***${env:CACHE_PASSWORD}***)
    """

    __slots__ = ("__text",)

    def __init__(self, text: S) -> None:
        self.__text = text
        for reference in _REFERENCE.finditer(text):
            if not reference[1]:
                _check(reference)

    @classmethod
    def of(cls, value: S | Secret[S]) -> Secret[S]:
        """`value` itself if it is a secret, else a secret made of it: for options that accept both."""
        return value if isinstance(value, Secret) else cls(value)

    def reveal(self, environ: Mapping[str, str] | None = None) -> S:
        """The secret in the clear. Use it at once and keep it nowhere.

        Args:
            environ: where `${env:...}` looks; the process's environment by default.

        Raises:
            SecretUnavailable: a variable is not set, or a file cannot be read.
        """
        variables = os.environ if environ is None else environ
        return cast("S", _REFERENCE.sub(lambda match: "${" if match[1] else _follow(match, variables), self.__text))

    def __repr__(self) -> str:
        shown: list[str] = []
        end = 0
        for match in _REFERENCE.finditer(self.__text):
            if match.start() > end or match[1]:
                shown.append(HIDDEN)
            if not match[1]:
                shown.append(match[0])
            end = match.end()
        if end < len(self.__text) or not shown:
            shown.append(HIDDEN)
        return f"Secret({''.join(shown)})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        # The spec is not applied: a width or a cut would tell how long the secret is.
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(errors="surrogatepass"), other.__text.encode(errors="surrogatepass"))

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (self.__text,)


def _check(match: re.Match[str]) -> None:
    kind, _, target = match[2].partition(":")
    if kind not in ("env", "file") or not target or not match[3]:
        # The text is not repeated: it may be a password that happens to hold `${`.
        raise SecretUnavailable(
            reference="'${...}'",
            reason="it is neither ${env:NAME} nor ${file:/path}",
            fix="Correct the reference, or write $${ where the secret itself holds ${",
        )


def _follow(match: re.Match[str], environ: Mapping[str, str]) -> str:
    kind, _, target = match[2].partition(":")
    if kind == "env":
        if target not in environ:
            raise SecretUnavailable(reference=match[0], reason=f"the environment variable {target} is not set", fix=f"Set {target}")
        return environ[target]
    try:
        text = Path(target).read_bytes().decode()
        return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    except OSError as error:
        reason = f"{error.strerror} ({type(error).__name__})"
    except ValueError:
        reason = "the file is not UTF-8 text"
    # Raised outside the handlers: a decoding error carries the file's bytes, and the chain would show them.
    raise SecretUnavailable(reference=match[0], reason=reason, fix=f"Make {target} readable to the user that runs the job")
