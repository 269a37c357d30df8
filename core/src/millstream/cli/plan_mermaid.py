"""A plan as a Mermaid flowchart, which GitHub, GitLab and many editors draw.

One subgraph for each vertex, one node in it for each operator; dotted arrows are side outputs. All that the program's author chose stands in
quoted labels, where Mermaid reads `#NUMBER;` as the character of that number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.plan_model import JobPlan, PlannedEdge, PlannedOperator

_BREAK: Final = "<br/>"
_SHAPES: Final = {"source": ("([", "])"), "sink": ("[(", ")]"), "operator": ("[", "]")}

_SPECIAL: Final = re.compile(r"[^\w .,()/=+'-]|(?<![^\W_])_|_(?![^\W_])")
"""What Mermaid, its Markdown or HTML may take for something of its own; an underscore inside a word is none of that."""


def mermaid_of(plan: JobPlan) -> str:
    """The flowchart."""
    return "\n".join(_lines(plan))


def label(text: str) -> str:
    """A text as it stands between the quotes of a label.

    >>> label('say "hi" [a_b] Größe')
    'say #34;hi#34; #91;a_b#93; Größe'
    """
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", text)


def _lines(plan: JobPlan) -> Iterator[str]:
    yield "flowchart LR"
    for vertex in plan.vertices:
        yield f'  subgraph v{vertex.id}["vertex {vertex.id}, parallelism {vertex.parallelism}"]'
        yield "    direction LR"
        for operator in vertex.operators:
            yield f"    {_node(operator)}"
        yield "  end"
    for edge in plan.edges:
        yield f"  {_arrow(edge)}"


def _node(operator: PlannedOperator) -> str:
    before, after = _SHAPES[operator.kind]
    # The kind comes first: Markdown would take "1. read" for a list.
    uid = f"uid {label(operator.uid)}" if operator.uid is not None else "no uid"
    return f'n{operator.id}{before}"{operator.kind} {label(operator.name)}{_BREAK}{uid}"{after}'


def _arrow(edge: PlannedEdge) -> str:
    side = f"side output {label(edge.side_output)}" if edge.side_output is not None else ""
    way = label(edge.way) if edge.partitioning != "chained" else ""
    words = _BREAK.join(text for text in (side, way) if text)
    line = "-.->" if side else "-->"
    return f"n{edge.source} {line}" + (f'|"{words}"|' if words else "") + f" n{edge.target}"
