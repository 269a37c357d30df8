"""`millstream plan --format`: flowcharts that Mermaid reads, and JSON for other programs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from millstream.cli.plan_mermaid import mermaid_of
from millstream.cli.plan_model import JobPlan, PlannedCheckpoints, PlannedEdge, PlannedOperator, PlannedVertex

JOB = """
class Split(ProcessFunction):
    def process_element(self, value, ctx, out):
        out.collect(value)

def sensor(reading):
    return reading

late = OutputTag("late")
parts = env.from_collection([1], uid="readings").process(Split(), name={name!r}, uid="split")
parts.get_side_output(late).print()
print("built")
parts.key_by(sensor).reduce(lambda a, b: b, uid="newest").set_parallelism(3).print()
env.execute("job")
"""


@dataclass
class Chart:
    """What a flowchart says: titles of subgraphs with the nodes in each, texts of nodes, and arrows."""

    subgraphs: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)
    arrows: list[tuple[str, str, str, str]] = field(default_factory=list)


SHAPES = {"([": "])", "[(": ")]", "[": "]"}
LABEL = r'"((?:[^"#&<>\[\]{}|`%;:*]|#\d+;|<br/>)*)"'


def parse(text: str) -> Chart:
    """Reads the part of Mermaid's language that is used here, and refuses whatever else stands there."""
    first, *lines = text.splitlines()
    assert first == "flowchart LR"
    chart, inside = Chart(), ""
    for line in lines:
        if match := re.fullmatch(rf"  subgraph (v\d+)\[{LABEL}\]", line):
            assert not inside
            assert match[1] not in chart.subgraphs
            inside = match[1]
            chart.subgraphs[inside] = (plain(match[2]), [])
        elif line == "    direction LR":
            assert inside
        elif line == "  end":
            assert inside
            inside = ""
        elif match := re.fullmatch(rf"    (n\d+)(\(\[|\[\(|\[){LABEL}(\]\)|\)\]|\])", line):
            assert SHAPES[match[2]] == match[4]
            assert match[1] not in chart.nodes
            chart.subgraphs[inside][1].append(match[1])
            chart.nodes[match[1]] = (match[2], plain(match[3]))
        else:
            match = re.fullmatch(rf"  (n\d+) (-->|-\.->)(?:\|{LABEL}\|)? (n\d+)", line)
            assert match is not None, f"no line of a flowchart: {line}"
            assert not inside
            chart.arrows.append((match[1], match[2], plain(match[3] or ""), match[4]))
    assert not inside
    assert all(source in chart.nodes and target in chart.nodes for source, _, _, target in chart.arrows)
    return chart


def plain(label: str) -> str:
    return re.sub(r"#(\d+);", lambda match: chr(int(match[1])), label.replace("<br/>", "\n"))


def test_a_flowchart_shows_vertices_operators_edges_and_side_outputs(invoke: Any, script: Any) -> None:
    result = invoke("plan", script(JOB.format(name="split")), "--format", "mermaid")
    assert (result.exit_code, result.stderr) == (0, "built\n")
    chart = parse(result.stdout)
    assert chart.subgraphs == {
        "v0": ("vertex 0, parallelism 1", ["n0", "n1", "n2"]),
        "v1": ("vertex 1, parallelism 3", ["n3"]),
        "v2": ("vertex 2, parallelism 1", ["n4"]),
    }
    assert chart.nodes == {
        "n0": ("([", "source collection\nuid readings"),
        "n1": ("[", "operator split\nuid split"),
        "n2": ("[(", "sink print\nno uid"),
        "n3": ("[", "operator reduce\nuid newest"),
        "n4": ("[(", "sink print\nno uid"),
    }
    assert chart.arrows == [
        ("n0", "-->", "", "n1"),
        ("n1", "-.->", "side output late", "n2"),
        ("n1", "-->", "hash by sensor", "n3"),
        ("n3", "-->", "rebalance", "n4"),
    ]


HARD = 'say "hi" [x](y){z} | `c` %%{init: {}}%% <b>&amp; #34; style:#a; --> end Größe 数 _em_ *b*'


def test_names_with_quotes_brackets_and_other_signs_come_out_as_they_are(invoke: Any, script: Any) -> None:
    chart = parse(invoke("plan", script(JOB.format(name=HARD)), "--format", "mermaid").stdout)
    assert chart.nodes["n1"] == ("[", f"operator {HARD}\nuid split")


@given(name=st.text(), uid=st.one_of(st.none(), st.text()), by=st.text(), tag=st.text())
def test_whatever_the_names_are_the_chart_says_them(name: str, uid: str | None, by: str, tag: str) -> None:
    operators = [PlannedOperator(0, "source", name, uid, 128, []), PlannedOperator(1, "sink", "to", None, 128, [])]
    vertices = [PlannedVertex(number, "v", 1, "default", [operator]) for number, operator in enumerate(operators)]
    edges = [PlannedEdge(0, 1, 0, 1, "hash", by, tag, 128)]
    chart = parse(mermaid_of(JobPlan("job", 2, PlannedCheckpoints(None, "exactly_once", None), "memory", vertices, edges)))
    assert chart.nodes["n0"][1] == f"source {name}\n" + (f"uid {uid}" if uid is not None else "no uid")
    assert chart.arrows == [("n0", "-.->", f"side output {tag}\nhash by {by}", "n1")]


def test_json_holds_what_the_text_shows(invoke: Any, script: Any) -> None:
    result = invoke("plan", script(JOB.format(name="split")), "--format", "json", "-s", "checkpoint.interval=10s", "--checkpoint-dir", "chk")
    assert (result.exit_code, result.stderr) == (0, "built\n")
    plan = json.loads(result.stdout)
    assert (plan["job"], plan["tasks"], plan["state_backend"]) == ("job", 5, "memory")
    assert plan["checkpoints"] == {"interval": "10s", "mode": "exactly_once", "storage": "chk"}
    assert [[one["name"] for one in vertex["operators"]] for vertex in plan["vertices"]] == [["collection", "split", "print"], ["reduce"], ["print"]]
    keyed = next(edge for edge in plan["edges"] if edge["partitioning"] == "hash")
    assert (keyed["by"], keyed["key_groups"], keyed["side_output"]) == ("sensor", 128, None)
    assert plan["vertices"][1]["operators"][0]["states"] == ["one value per key: data codec; keys: data codec"]


def test_the_text_names_side_outputs_between_vertices(invoke: Any, script: Any) -> None:
    apart = JOB.replace("get_side_output(late).print()", "get_side_output(late).rebalance().print().set_parallelism(2)")
    assert "from vertex 0 (collection -> split): rebalance, side output 'late'" in invoke("plan", script(apart.format(name="split"))).stdout


def test_an_unknown_format_is_refused_with_the_known_ones(invoke: Any, script: Any) -> None:
    result = invoke("plan", script(JOB.format(name="split")), "--format", "dot")
    assert (result.exit_code, "'text', 'mermaid', 'json'" in result.stderr) == (2, True)
