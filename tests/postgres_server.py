"""A PostgreSQL server of this machine for the check of `publish`: own data folder, own port, own certificates."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path

ADMIN = "admin"
PASSWORD = "pa'ss \\ wörd"
DATABASE = "shop"


def programs() -> Path | None:
    """The newest folder of server programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).parent if elsewhere else None


def unprivileged() -> dict:
    """How a child runs: the server refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise SystemExit("neither the user postgres nor nobody exists")


class Session:
    """One open connection of the administrator: statements one by one, their rows as lines."""

    END = "--- end ---"

    def __init__(self, server: "Server") -> None:
        self.process = subprocess.Popen(
            server.psql(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
        )

    def ask(self, sql: str) -> list[str]:
        self.process.stdin.write(f"{sql};\n\\echo {self.END}\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) and line.rstrip("\n") != self.END:
            lines.append(line.rstrip("\n"))
        return lines

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


class Server:
    """Started by `with`, stopped and gone after it."""

    def __init__(self, folder: Path, bin_dir: Path) -> None:
        self.folder, self.bin, self.child = folder, bin_dir, unprivileged()
        self.data, self.tls = folder / "data", folder / "tls"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> "Server":
        # The server's user has to get through.
        self.folder.chmod(0o755)
        for place in (self.data, self.tls):
            place.mkdir(mode=0o700)
        self.certificates()
        if self.child:
            for path in (self.data, self.tls, *self.tls.iterdir()):
                os.chown(path, self.child["user"], self.child["group"])
        self.run("initdb", "-D", self.data, "-U", ADMIN, "-E", "UTF8", "--locale=C", "--no-sync", "-A", "trust")
        (self.data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.data, "fsync": "off",
            "ssl": "on", "ssl_cert_file": self.tls / "server.crt", "ssl_key_file": self.tls / "server.key",
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        self.log = (self.folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [self.bin / "postgres", "-D", self.data], cwd="/", stdout=self.log, stderr=self.log, **self.child
        )
        self.run("pg_isready", "-h", self.data, "-p", str(self.port), tries=100)
        return self

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self.log.close()

    def run(self, program: str, *arguments, tries: int = 1) -> None:
        command = [self.bin / program, *arguments]
        for left in reversed(range(tries)):
            said = subprocess.run(command, cwd="/", capture_output=True, text=True, **self.child)
            if said.returncode == 0:
                return
            if not left:
                raise SystemExit(f"{program}: {said.stdout}{said.stderr}")
            subprocess.run(["sleep", "0.1"], check=True)

    def certificates(self) -> None:
        """An authority, and a certificate of it for `localhost` and for no address."""
        def openssl(*arguments) -> None:
            subprocess.run(["openssl", *arguments], cwd=self.tls, check=True, capture_output=True)

        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        for name in ("authority", "stranger"):
            openssl("req", "-x509", *key, "-subj", f"/CN={name}", "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.crt")
        openssl("req", *key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr")
        (self.tls / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "authority.crt", "-CAkey", "authority.key", "-CAcreateserial",
                "-days", "2", "-extfile", "names", "-out", "server.crt")

    def psql(self, *more: str, database: str = DATABASE) -> list[str]:
        return ["psql", "-X", "-q", "-A", "-t", "-h", str(self.data), "-p", str(self.port), "-U", ADMIN, "-d", database, *more]

    def sql(self, text: str, database: str = DATABASE) -> list[str]:
        """Lines of the answer."""
        said = subprocess.run(self.psql("-v", "ON_ERROR_STOP=1", "-c", text, database=database), capture_output=True, text=True)
        if said.returncode != 0:
            raise SystemExit(f"{text}\n{said.stderr}")
        return said.stdout.splitlines()

    def csv(self, query: str, path: Path, null: str) -> None:
        """Rows as a file; a null is told from an empty text."""
        text = f"copy ({query}) to stdout (format csv, header, null '{null}', force_quote *)"
        with path.open("w") as file:
            subprocess.run(self.psql("-c", "set timezone = 'UTC'", "-c", text), stdout=file, check=True)
