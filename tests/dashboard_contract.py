"""Answers against the API's own description: whatever a page or a check is told has the shape that openapi.json says, and no other."""

import datetime
import json
import re
import urllib.parse
from pathlib import Path

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from harness import Checks
from live_server import Answer, send

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "crates/server/src/openapi.json"
PROSE = ROOT / "docs/api.md"
NAME = "urn:clicktrail:openapi"
# What a project names itself has no fixed properties: columns of tables, rows of queries, and this document.
OPEN = {"TableRow", "RowsAnswer", "document"}

FORMATS = FormatChecker(formats=["date"])


@FORMATS.checks("date-time", ValueError)
def _is_time(text) -> bool:
    return not isinstance(text, str) or bool(text.endswith("Z") and datetime.datetime.fromisoformat(text))


class Contract:
    """The description, and all answers that it was compared with."""

    def __init__(self) -> None:
        self.document = json.loads(FILE.read_text())
        # OpenAPI 3.1 schemas are JSON Schema 2020-12.
        self._registry = Registry().with_resource(NAME, Resource.from_contents(self.document, DRAFT202012))
        self._routes = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in self.document["paths"]]
        self._judges, self.seen, self.wrong = {}, {}, []

    def path_of(self, address: str) -> str | None:
        """The path of the description that an address belongs to."""
        path = urllib.parse.urlsplit(address).path
        return next((known for pattern, known in self._routes if pattern.fullmatch(path)), None)

    def _judge(self, pointer: str) -> Draft202012Validator:
        if pointer not in self._judges:
            self._judges[pointer] = Draft202012Validator({"$ref": f"{NAME}#{pointer}"}, registry=self._registry, format_checker=FORMATS)
        return self._judges[pointer]

    def faults(self, pointer: str, value) -> list[str]:
        """How a value differs from the schema at a place of the document."""
        found = sorted(self._judge(pointer).iter_errors(value), key=lambda error: len(error.absolute_path), reverse=True)
        return [f"{error.json_path}: {error.message[:160]}" for error in found[:3]]

    def judge(self, method: str, address: str, status: int, kind: str, body: bytes | str) -> None:
        """Compares one answer; what differs is kept in `wrong`."""
        path = self.path_of(address)
        where = f"{method} {address} {status}"
        operation = self.document["paths"].get(path, {}).get(method.lower())
        if operation is None:
            return self._tell(where, "is not described")
        response = operation["responses"].get(str(status))
        if response is None:
            return self._tell(where, "the status is not described")
        pointer = f"/paths/{path.replace('/', '~1')}/{method.lower()}/responses/{status}"
        if "$ref" in response:
            pointer = response["$ref"].removeprefix("#")
            response = self.document["components"]["responses"][pointer.rsplit("/", 1)[1]]
        self.seen.setdefault((path, status), 0)
        self.seen[path, status] += 1
        kind = kind.split(";")[0]
        if status == 304:
            return None
        if kind not in response["content"]:
            return self._tell(where, f"{kind} is not described")
        if kind.endswith("json"):
            pointer = f"{pointer}/content/{kind.replace('/', '~1')}/schema"
            for fault in self.faults(pointer, json.loads(body)):
                self._tell(where, fault)
        return None

    def message(self, event: str, data: str) -> None:
        """Compares one message of the live stream."""
        messages = self.document["paths"]["/api/v1/live"]["get"]["responses"]["200"]["content"]["text/event-stream"]["x-messages"]
        if event not in messages:
            return self._tell(f"live: {event}", "is not described")
        self.seen.setdefault(("live", event), 0)
        self.seen["live", event] += 1
        for fault in self.faults(messages[event]["$ref"].removeprefix("#"), json.loads(data)):
            self._tell(f"live: {event}", fault)
        return None

    def _tell(self, where: str, what: str) -> None:
        self.wrong.append(f"{where}: {what}")

    def ask(self, address: str, path: str, method: str = "GET", body=None, headers=None) -> Answer:
        """One request, compared."""
        content = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        answer = send(address, method, path, content, kind | (headers or {}))
        self.judge(method, path, answer.status, answer.headers.get("content-type", ""), answer.body)
        return answer


def document(checks: Checks, contract: Contract) -> None:
    """The description is whole: no dangling reference, nothing undescribed, no door left open."""
    schemas = contract.document["components"]["schemas"]
    bare, ajar, dangling, used = [], [], [], set()

    def walk(value, where: str) -> None:
        if isinstance(value, list):
            for inner in value:
                walk(inner, where)
        if not isinstance(value, dict):
            return
        if str(value.get("$ref", "")).startswith("#/components/"):
            _, _, kind, name = value["$ref"].split("/")
            used.add(value["$ref"])
            if name not in contract.document["components"][kind]:
                dangling.append(value["$ref"])
        if value.get("type") == "object" and value.get("additionalProperties", True) is True and where.split(".")[0] not in OPEN:
            ajar.append(where)
        for name, inner in value.get("properties", {}).items():
            if not inner.get("description") and "$ref" not in inner and not inner.get("items", {}).get("$ref"):
                bare.append(f"{where}.{name}")
        for key, inner in value.items():
            walk(inner, f"{where}.{key}" if key not in ("properties", "items", "anyOf") else where)

    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        if not schema.get("description"):
            bare.append(name)
        walk(schema, name)
    walk({key: value for key, value in contract.document["paths"].items() if key != "/api/v1/openapi.json"}, "paths")
    checks.equal("openapi.json: every field is described", bare, [])
    checks.equal("openapi.json: objects have the properties that are listed, and no others", ajar, [])
    checks.equal("openapi.json: no reference leads nowhere", dangling, [])
    walk(contract.document["components"]["responses"], "document")
    idle = [name for name in schemas if f"#/components/schemas/{name}" not in used]
    checks.equal("openapi.json: every schema is used", idle, [])
    prose = PROSE.read_text()
    checks.equal("docs/api.md names every path", [path for path in contract.document["paths"] if path not in prose], [])
    keys = {name for name, one in contract.document["components"]["parameters"].items() if one["in"] == "query"}
    checks.equal("docs/api.md names every key", [key for key in sorted(keys) if f"`{key}`" not in prose], [])


def _pages(contract: Contract, ask) -> None:
    """Every path with what it may be asked."""
    first = ask("/api/v1/conversions?limit=2").json()["data"]
    ask(f"/api/v1/conversions?limit=2&after={urllib.parse.quote(first['next'])}")
    journey = ask(f"/api/v1/conversions/{first['rows'][0]['id']}/explain").json()["data"]
    for event in (journey["events"][0]["key"], journey["conversion"]["event_key"]):
        ask(f"/api/v1/events/{event}")
    for page in ("overview", "models", "paths", "conversions"):
        for query in ("", "?d=14&cmp=none", "?d=90&v=rev&by=campaign", "?m=last_touch", "?f=channel:Email", "?f=-country:Austria&by=source", "?f=campaign:no-such-campaign", "?d=2001-01-01..2001-01-07", "?collapse=1", "?cur=EUR"):
            ask(f"/api/v1/{page}{query}")
        ask(f"/api/v1/export/{page}.csv")
    for dimension in ("channel", "source", "medium", "campaign", "country", "device", "conv"):
        ask(f"/api/v1/filters/{dimension}")
    ask("/api/v1/filters/campaign?q=spring")
    for node in ask("/api/v1/lineage").json()["data"]["nodes"]:
        ask(f"/api/v1/nodes/{node['name']}")
    ask("/api/v1/lineage?select=%2Bfct_credits")
    ask("/api/v1/tables/fct_credits?limit=3")
    for path in ("health", "settings", "status", "openapi.json"):
        ask(f"/api/v1/{path}")
    ask("/api/v1/query", "POST", {"sql": "select * from int_users limit 3"})


def contract_holds(checks: Checks, contract: Contract, address: str) -> None:
    """Every path answers as described, when it is asked well and when it is asked badly."""
    ask = lambda *arguments, **more: contract.ask(address, *arguments, **more)
    _pages(contract, ask)
    said = {path for path, status in contract.seen if status == 200}
    # The stream has its own check.
    silent = [path for path in contract.document["paths"] if path not in said and path != "/api/v1/live"]
    checks.equal("every path of openapi.json answers", silent, [])

    bad = ask("/api/v1/overview?d=never&zz=1")
    checks.equal("bad keys are told at once, each with what it takes", (bad.status, [key["key"] for key in bad.json()["keys"]]), (422, ["d", "zz"]))
    statuses = {
        "/api/v1/lineage?select=no_such_model": 422, "/api/v1/conversions/nobody/explain": 404, "/api/v1/events/nothing": 404, "/api/v1/nodes/nothing": 404,
        "/api/v1/filters/colour": 404, "/api/v1/tables/nothing": 404, "/api/v1/export/health.csv": 404, "/api/v1/overview?snap=long-gone": 410, "/api/v1/live?after=soon": 400,
    }
    checks.equal("what is not there is told as a problem", {path: ask(path).status for path in statuses}, statuses)
    checks.equal("a query that is none is told as a problem", [ask("/api/v1/query", "POST", {"sql": sql}).status for sql in ("select nope", "drop table int_users")], [400, 400])
    asked = ask("/api/v1/overview")
    checks.equal("the same question again costs a 304", ask("/api/v1/overview", headers={"If-None-Match": asked.headers["etag"]}).status, 304)
    stranger = ask("/api/v1/overview", headers={"Host": "evil.example"})
    checks.equal("another host's name is refused", stranger.status, 403)


def verdict(checks: Checks, contract: Contract) -> None:
    """What all answers of the run came to, the browser's too."""
    count = sum(contract.seen.values())
    print(f"        {count} answers and messages of {len(contract.seen)} kinds were compared with openapi.json")
    checks.holds("every answer has the shape that openapi.json says", "; ".join(contract.wrong[:5]))
