"""What a distribution says that it needs, as far as it takes to compare it with what is installed.

`packaging` would do it, and core does not need it for anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

_LINE: Final = re.compile(r"\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?(?P<versions>[^;()]*)\)?\s*(?P<marker>;.*)?")
_CLAUSE: Final = re.compile(r"\s*(~=|===|==|!=|<=|>=|<|>)\s*([\w.+!*-]+)\s*")
_RELEASE: Final = re.compile(r"v?(\d+(?:\.\d+)*)(.*)")


@dataclass(frozen=True)
class Requirement:
    """One line of a distribution's requirements.

    Attributes:
        name: of the distribution that is needed.
        versions: which ones will do, `>=0.1,<1`; empty for any.
        is_conditional: it holds for an extra or for some platforms only.
    """

    name: str
    versions: str
    is_conditional: bool

    @classmethod
    def parse(cls, line: str) -> Requirement | None:
        """A line of `Requires-Dist`; None when it is of a form that is not understood, such as a URL.

        >>> Requirement.parse("click<9,>=8.1.7")
        Requirement(name='click', versions='<9,>=8.1.7', is_conditional=False)
        """
        match = _LINE.fullmatch(line)
        if match is None or "@" in line:
            return None
        return cls(match["name"], match["versions"].strip(), match["marker"] is not None)

    def allows(self, version: str) -> bool:
        """Whether a version will do. A clause that is not understood allows every version.

        >>> core = Requirement("millstream-core", ">=0.1,<1", False)
        >>> [core.allows(version) for version in ("0.0.9", "0.1", "0.9.12", "1.0rc1", "1.0.0")]
        [False, True, True, True, False]
        """
        clauses = [match for clause in self.versions.split(",") if (match := _CLAUSE.fullmatch(clause)) is not None]
        return all(_allows(match[1], match[2], version) for match in clauses)


def _allows(sign: str, wanted: str, version: str) -> bool:
    if sign == "===":
        return version == wanted
    if wanted.endswith(".*"):
        inside = _parts(version)[: len(_parts(wanted))] == _parts(wanted)
        return inside if sign == "==" else not inside
    order = _order(version, wanted)
    if sign == "~=":
        return order >= 0 and _parts(version)[: len(_parts(wanted)) - 1] == _parts(wanted)[:-1]
    return {"==": order == 0, "!=": order != 0, "<=": order <= 0, ">=": order >= 0, "<": order < 0, ">": order > 0}[sign]


def _order(first: str, second: str) -> int:
    """Below, at or above 0 as the first version is before, at or after the second; a pre-release is before its release."""
    for one, other in zip_longest(_parts(first), _parts(second), fillvalue=0):
        if one != other:
            return one - other
    return _is_release(first) - _is_release(second)


def _parts(version: str) -> list[int]:
    match = _RELEASE.match(version)
    return [int(part) for part in match[1].split(".")] if match is not None else []


def _is_release(version: str) -> int:
    match = _RELEASE.match(version)
    return 0 if match is not None and re.match(r"[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev)", match[2]) else 1
