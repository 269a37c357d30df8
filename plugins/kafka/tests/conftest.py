"""A schema registry and classes of Protobuf messages, for the tests of both formats."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


class RegistryDouble:
    """A test double of a schema registry's REST API, on loopback: it keeps schemas in memory.

    Of the API it has: POST /subjects/{s}/versions, POST /subjects/{s}, GET /subjects/{s}/versions/{n or "latest"}, GET /schemas/ids/{id}, each with
    id, schemaType and references, the error codes of those, and basic authentication. Avro subjects are BACKWARD compatible, checked by Apache's
    library against the latest version; Protobuf is not checked. Of Protobuf it keeps descriptors, and gives them for format=serialized only: the
    text that a registry makes of them otherwise is not made here.
    """

    def __init__(self) -> None:
        self.subjects: dict[str, list[dict[str, Any]]] = {}
        self.schemas: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.login: tuple[str, str] | None = None
        self.broken: tuple[int, str] | None = None  # status and body of every answer
        self.tls: ssl.SSLContext | None = None
        self._port = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Again after `stop`: at the same address, with what it had."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry._answer(self)

            def do_POST(self) -> None:
                registry._answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.handle_error = lambda request, address: None  # type: ignore[assignment]  # a client that refuses the certificate
        self._port = self._server.server_port
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def register(self, subject: str, text: str, kind: str = "AVRO", references: Any = ()) -> int:
        """Past the API."""
        status, answer = self._register(subject, {"schema": text, "schemaType": kind, "references": list(references)})
        assert status == 200, answer
        return int(answer["id"])

    # --- the API

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self._lock:
            self.requests.append(f"{handler.command} {urlsplit(handler.path).path}")
            status, answer = self._routed(handler, json.loads(body or "{}"))
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _routed(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> tuple[int, Any]:
        if self.broken is not None:
            return self.broken[0], self.broken[1].encode()
        if self.login is not None:
            wanted = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
            if handler.headers.get("Authorization") != wanted:
                return 401, {"error_code": 401, "message": "Unauthorized"}
        parts = urlsplit(handler.path)
        serialized = parse_qs(parts.query).get("format") == ["serialized"]
        routes: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
            ("POST", r"/subjects/([^/]+)/versions", lambda subject: self._register(subject, body)),
            ("POST", r"/subjects/([^/]+)", lambda subject: self._look_up(subject, body)),
            ("GET", r"/subjects/([^/]+)/versions/(latest|\d+)", lambda subject, version: self._version(subject, version, serialized)),
            ("GET", r"/schemas/ids/(\d+)", lambda number: self._schema(int(number), serialized)),
        ]
        for method, pattern, route in routes:
            match = re.fullmatch(pattern, parts.path)
            if match and method == handler.command:
                return route(*map(unquote, match.groups()))
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _register(self, subject: str, body: dict[str, Any]) -> tuple[int, Any]:
        schema = _normal(body)
        versions = self.subjects.setdefault(subject, [])
        found = next((version for version in versions if version["schema"] == schema), None)
        if found is None:
            if schema["schemaType"] == "AVRO" and not schema["references"]:
                try:
                    new = parse(schema["schema"])
                except Exception as error:  # noqa: BLE001 - the library has many
                    return 422, {"error_code": 42201, "message": f"Invalid schema: {error}"}
                if versions and (reason := _incompatibility(new, versions[-1]["schema"])):
                    return 409, {"error_code": 409, "message": f"Schema being registered is incompatible with an earlier schema: {reason}"}
            if schema not in self.schemas:
                self.schemas.append(schema)
            found = {"schema": schema, "version": len(versions) + 1}
            versions.append(found)
        return 200, {"id": self.schemas.index(found["schema"]) + 1}

    def _look_up(self, subject: str, body: dict[str, Any]) -> tuple[int, Any]:
        if not self.subjects.get(subject):
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        for number, version in enumerate(self.subjects[subject], 1):
            if version["schema"] == _normal(body):
                return self._version(subject, str(number), True)
        return 404, {"error_code": 40403, "message": "Schema not found"}

    def _version(self, subject: str, version: str, serialized: bool) -> tuple[int, Any]:
        versions = self.subjects.get(subject)
        if not versions:
            return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
        if version != "latest" and int(version) > len(versions):
            return 404, {"error_code": 40402, "message": f"Version {version} not found."}
        found = versions[-1] if version == "latest" else versions[int(version) - 1]
        number = self.schemas.index(found["schema"]) + 1
        return 200, {"subject": subject, "id": number, "version": found["version"], **_given_out(found["schema"], serialized)}

    def _schema(self, number: int, serialized: bool) -> tuple[int, Any]:
        if not 1 <= number <= len(self.schemas):
            return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
        return 200, _given_out(self.schemas[number - 1], serialized)


def _normal(body: dict[str, Any]) -> dict[str, Any]:
    kind = body.get("schemaType") or "AVRO"
    text = json.dumps(json.loads(body["schema"])) if kind == "AVRO" and body["schema"].startswith(("{", "[", '"')) else body["schema"]
    return {"schema": text, "schemaType": kind, "references": body.get("references") or []}


def _given_out(schema: dict[str, Any], serialized: bool) -> dict[str, Any]:
    answer = {name: value for name, value in schema.items() if value and (name, value) != ("schemaType", "AVRO")}
    if schema["schemaType"] == "PROTOBUF" and not serialized:
        answer["schema"] = "// text"
    return answer


def _incompatibility(new: Any, old: dict[str, Any]) -> str:
    if old["schemaType"] != "AVRO":
        return "another type"
    found = ReaderWriterCompatibilityChecker().get_compatibility(new, parse(old["schema"]))
    return "" if found.compatibility is SchemaCompatibilityType.compatible else "; ".join(map(str, found.messages))


@pytest.fixture
def registry() -> Iterator[RegistryDouble]:
    made = RegistryDouble()
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def shop() -> Any:
    """Classes of two files: Money; and Order, Refund and Refund.Item, which import it. As protoc would generate them."""
    string, number, message = 9, 3, 11  # of FieldDescriptorProto.Type
    money = FileDescriptorProto(name="shop/money.proto", package="shop", syntax="proto3")
    _add(money.message_type, "Money", ("currency", string), ("cents", number))
    orders = FileDescriptorProto(name="shop/orders.proto", package="shop", syntax="proto3", dependency=["shop/money.proto"])
    _add(orders.message_type, "Order", ("id", number), ("customer", string), ("total", message, ".shop.Money"))
    refund = _add(orders.message_type, "Refund", ("order_id", number))
    _add(refund.nested_type, "Item", ("sku", string))
    pool = DescriptorPool()
    pool.Add(money)
    pool.Add(orders)
    found = {name: GetMessageClass(pool.FindMessageTypeByName(f"shop.{name}")) for name in ("Money", "Order", "Refund", "Refund.Item")}
    return SimpleNamespace(Money=found["Money"], Order=found["Order"], Refund=found["Refund"], Item=found["Refund.Item"], file=orders)


def _add(messages: Any, name: str, *fields: Any) -> Any:
    made = messages.add(name=name)
    for position, (field, kind, *of) in enumerate(fields, 1):
        made.field.add(name=field, number=position, label=1, type=kind, type_name=of[0] if of else None)
    return made
