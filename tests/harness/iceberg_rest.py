"""An Iceberg REST catalog in front of PyIceberg's SQL catalog: what the protocol asks of a server
when tables are listed, made, loaded, appended to and dropped. Every request must carry the token."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CommitTableRequest
from pyiceberg.table.sorting import SortOrder

STATUS = {
    CommitFailedException: 409,
    NamespaceAlreadyExistsError: 409,
    NamespaceNotEmptyError: 409,
    TableAlreadyExistsError: 409,
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
}


class RestCatalog:
    """Serves `catalog` on a free loopback port until closed."""

    def __init__(self, catalog, token):
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                try:
                    if self.headers.get("authorization") != f"Bearer {token}":
                        status, content = 401, error("NotAuthorizedException", "no token", 401)
                    else:
                        url = urlsplit(self.path)
                        path = [unquote(part) for part in url.path.split("/")[2:]]
                        with lock:
                            status, content = serve(catalog, self.command, path, url.query, body)
                except tuple(STATUS) as e:
                    status = STATUS[type(e)]
                    content = error(type(e).__name__, str(e), status)
                payload = b"" if content is None or self.command == "HEAD" else content.encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def error(kind, message, status):
    return json.dumps({"error": {"message": message, "type": kind, "code": status}})


def loaded(table):
    return json.dumps({
        "metadata-location": table.metadata_location,
        "metadata": json.loads(table.metadata.model_dump_json()),
        "config": {},
    })


def serve(catalog, method, path, query, body):
    """The response's status and JSON. `path` comes without `v1`."""
    match method, path:
        case "GET", ["config"]:
            return 200, json.dumps({"defaults": {}, "overrides": {}})
        case "GET", ["namespaces"]:
            parent = tuple(parse_qs(query).get("parent", [""])[0].split("\x1f")) if query else ()
            return 200, json.dumps({"namespaces": catalog.list_namespaces(parent)})
        case "POST", ["namespaces"]:
            request = json.loads(body)
            properties = request.get("properties", {})
            catalog.create_namespace(tuple(request["namespace"]), properties)
            return 200, json.dumps({"namespace": request["namespace"], "properties": properties})
        case ("GET" | "HEAD" | "DELETE"), ["namespaces", namespace]:
            properties = catalog.load_namespace_properties(namespace)
            if method == "DELETE":
                catalog.drop_namespace(namespace)
                return 204, None
            return (204 if method == "HEAD" else 200), json.dumps({"namespace": [namespace], "properties": properties})
        case "GET", ["namespaces", namespace, "tables"]:
            names = [{"namespace": list(t[:-1]), "name": t[-1]} for t in catalog.list_tables(namespace)]
            return 200, json.dumps({"identifiers": names})
        case "POST", ["namespaces", namespace, "tables"]:
            request = json.loads(body)
            fields = request["partition-spec"]["fields"]
            spec = {"spec-id": 0, "fields": [{"field-id": 1000 + i, **field} for i, field in enumerate(fields)]}
            table = catalog.create_table(
                (namespace, request["name"]), Schema.model_validate(request["schema"]), request.get("location"),
                PartitionSpec.model_validate(spec), SortOrder.model_validate(request.get("write-order") or {"order-id": 0, "fields": []}),
                properties=request.get("properties", {}))
            return 200, loaded(table)
        case "POST", ["namespaces", namespace, "register"]:
            request = json.loads(body)
            return 200, loaded(catalog.register_table((namespace, request["name"]), request["metadata-location"]))
        case "GET", ["namespaces", namespace, "tables", name]:
            return 200, loaded(catalog.load_table((namespace, name)))
        case "HEAD", ["namespaces", namespace, "tables", name]:
            return (204 if catalog.table_exists((namespace, name)) else 404), None
        case "POST", ["namespaces", namespace, "tables", name]:
            request = CommitTableRequest.model_validate_json(body)
            table = catalog.load_table((namespace, name))
            catalog.commit_table(table, request.requirements, request.updates)
            return 200, loaded(catalog.load_table((namespace, name)))
        case "DELETE", ["namespaces", namespace, "tables", name]:
            catalog.drop_table((namespace, name))
            return 204, None
    return 404, error("NoSuchEndpoint", f"{method} {path}", 404)
