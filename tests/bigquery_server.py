"""A BigQuery for checks: the emulator, and in front of it a proxy that does what the emulator leaves out.

Like BigQuery the proxy runs a job id once (409 after that), says what a query reads, and refuses queries that would
bill more than they may. And it breaks things on demand: answers lost before or after the work is done, 503, 403.
"""

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROJECT = "shop-project"
EXPORT = "analytics_123"
DATASET = "clicktrail"
MIB = 1 << 20


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Fault:
    """Something that goes wrong `times` times: `drop_before`, `drop_after`, or a status with a reason."""

    def __init__(self, matches: Callable[[str, str, dict], bool], how: str, times: int = 1, reason: str = "", text: str = "") -> None:
        self.matches, self.how, self.times, self.reason, self.text = matches, how, times, reason, text


class BigQuery:
    """Emulator and proxy; `url` is the proxy's."""

    def __init__(self) -> None:
        self.emulator_port, self.grpc_port, self.port = free_port(), free_port(), free_port()
        script = str(Path(__file__).with_name("bigquery_emulator.py"))
        command = [sys.executable, script, str(self.emulator_port), str(self.grpc_port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.jobs: set[str] = set()
        # The emulator gives loads ids of its own: their answers by ours.
        self.loads: dict[str, dict] = {}
        self.requests: list[tuple[str, str, dict]] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def handle_any(self) -> None:
                owner.handle(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_) -> None:
                """A client that left, as killed ones do, is no news."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.emulator_port}/healthz", timeout=2).read()
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit("the emulator does not start")
                time.sleep(0.1)
        sys.exit("the emulator does not answer")

    def close(self) -> None:
        self.server.shutdown()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            # A call whose other end is gone keeps it waiting.
            self.process.kill()
            self.process.wait()

    # The proxy.

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        document = described(request.headers.get("content-type", ""), body)
        with self.lock:
            self.requests.append((request.command, request.path, document))
            fault = next((one for one in self.faults if one.times and one.matches(request.command, request.path, document)), None)
            if fault:
                fault.times -= 1
        if fault and fault.how == "drop_before":
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault and fault.how.isdigit():
            self.answer(request, int(fault.how), error(int(fault.how), fault.reason, fault.text))
            return
        if fault and fault.how == "fail":
            failed = {"state": "DONE", "errorResult": {"reason": fault.reason, "message": fault.text}}
            self.answer(request, 200, {"jobReference": document["jobReference"], "status": failed})
            return
        status, answer = self.work(request, body, document)
        if fault and fault.how == "drop_after":
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
            return
        self.answer(request, status, answer)

    def work(self, request: BaseHTTPRequestHandler, body: bytes, document: dict) -> tuple[int, dict]:
        named = re.search(r"/jobs/([^/?]+)", request.path)
        if request.command == "GET" and named and named.group(1) in self.loads:
            return 200, self.loads[named.group(1)]
        configuration = document.get("configuration", {})
        job = document.get("jobReference", {}).get("jobId")
        dry = configuration.get("dryRun", False)
        if job and not dry:
            with self.lock:
                if job in self.jobs:
                    return 409, error(409, "duplicate", f"Already Exists: Job {PROJECT}:{job}")
                self.jobs.add(job)
        query = configuration.get("query", {})
        billed = read_bytes(query.get("query", ""))
        limit = query.get("maximumBytesBilled")
        if query and not dry and limit is not None and billed > int(limit):
            reason, text = "bytesBilledLimitExceeded", f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required."
            failed = {"state": "DONE", "errorResult": {"reason": reason, "message": text}}
            return 200, {"jobReference": document["jobReference"], "status": failed}
        status, answer = self.forward(request.command, request.path, body, dict(request.headers))
        if job and status >= 500:
            # The emulator did nothing: its connection was busy.
            with self.lock:
                self.jobs.discard(job)
        if job and request.path.startswith("/upload") and status == 200:
            answer["jobReference"] = document["jobReference"]
            self.loads[job] = answer
        if query and status == 200 and answer.get("statistics"):
            told = answer["statistics"].setdefault("query", {})
            told["totalBytesProcessed"] = told["totalBytesBilled"] = str(billed)
        return status, answer

    def forward(self, method: str, path: str, body: bytes, headers: dict) -> tuple[int, dict]:
        kept = {key: value for key, value in headers.items() if key.lower() in ("content-type", "authorization")}
        url = f"http://127.0.0.1:{self.emulator_port}{path}"
        call = urllib.request.Request(url, data=body or None, method=method, headers=kept)
        try:
            with urllib.request.urlopen(call, timeout=300) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else {}
        except urllib.error.HTTPError as answer:
            text = answer.read()
            return answer.code, json.loads(text) if text else {}

    @staticmethod
    def answer(request: BaseHTTPRequestHandler, status: int, document: dict) -> None:
        text = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("content-type", "application/json")
        request.send_header("content-length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    # Data.

    def call(self, method: str, path: str, document: dict | None = None) -> dict:
        body = json.dumps(document).encode() if document is not None else b""
        status, answer = self.forward(method, path, body, {"content-type": "application/json"})
        if status >= 400 and status != 409:
            raise RuntimeError(f"{method} {path}: {answer}")
        return answer

    def create_dataset(self, dataset: str, location: str = "EU") -> None:
        reference = {"projectId": PROJECT, "datasetId": dataset}
        self.call("POST", f"/bigquery/v2/projects/{PROJECT}/datasets", {"datasetReference": reference, "location": location})

    def load_parquet(self, file: Path, dataset: str, table: str) -> None:
        """Loads a Parquet file with the schema that it has."""
        import pyarrow.parquet

        fields = [field_of(field) for field in pyarrow.parquet.read_schema(file)]
        load = {
            "destinationTable": {"projectId": PROJECT, "datasetId": dataset, "tableId": table},
            "schema": {"fields": fields},
            "sourceFormat": "PARQUET",
            "writeDisposition": "WRITE_TRUNCATE",
        }
        head = json.dumps({"configuration": {"load": load}})
        body = f"--x\r\ncontent-type: application/json\r\n\r\n{head}\r\n--x\r\ncontent-type: application/octet-stream\r\n\r\n"
        body = body.encode() + file.read_bytes() + b"\r\n--x--\r\n"
        path = f"/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=multipart"
        status, answer = self.forward("POST", path, body, {"content-type": "multipart/related; boundary=x"})
        failed = answer.get("status", {}).get("errorResult")
        if status >= 400 or failed:
            raise RuntimeError(f"load of {file}: {failed or answer}")

    def tables(self, dataset: str) -> dict[str, str]:
        """Names and kinds of what a dataset holds."""
        answer = self.call("GET", f"/bigquery/v2/projects/{PROJECT}/datasets/{dataset}/tables?maxResults=1000")
        return {table["tableReference"]["tableId"]: table["type"] for table in answer.get("tables", [])}

    def statements(self) -> list[str]:
        """All queries that were sent."""
        queries = (document.get("configuration", {}).get("query", {}).get("query") for _, _, document in self.requests)
        return [query for query in queries if query]


def described(kind: str, body: bytes) -> dict:
    """The JSON of a request; of an upload, its first part."""
    if "multipart" in kind:
        body = body.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0]
    try:
        document = json.loads(body)
        return document if isinstance(document, dict) else {}
    except ValueError:
        return {}


def error(status: int, reason: str, text: str) -> dict:
    text = text or f"made by a check: {reason}"
    return {"error": {"code": status, "message": text, "errors": [{"reason": reason, "message": text}]}}


def read_bytes(sql: str) -> int:
    """What a query reads, invented: 100 MiB for each naming of the export, 10 MiB else, nothing for making a view."""
    if re.match(r"\s*create or replace view", sql):
        return 0
    return max(10, 100 * len(re.findall(r"_TABLE_SUFFIX between", sql))) * MIB


def field_of(field) -> dict:
    """A column of Arrow as BigQuery writes it."""
    import pyarrow

    kind, mode = field.type, "NULLABLE"
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        kind, mode = kind.value_type, "REPEATED"
    found = {"name": field.name, "mode": mode, "type": "STRING"}
    if pyarrow.types.is_struct(kind):
        found |= {"type": "RECORD", "fields": [field_of(kind.field(index)) for index in range(kind.num_fields)]}
    elif pyarrow.types.is_integer(kind):
        found["type"] = "INTEGER"
    elif pyarrow.types.is_floating(kind):
        found["type"] = "FLOAT"
    elif pyarrow.types.is_boolean(kind):
        found["type"] = "BOOLEAN"
    return found
