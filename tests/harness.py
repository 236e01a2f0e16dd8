"""What the Python checks share: a demo project made by the real binary, and a count of what held."""

import faulthandler
import os
import subprocess
import sys
from pathlib import Path


def binary() -> Path:
    """The binary under test, from CLICKTRAIL_BIN."""
    path = Path(os.environ.get("CLICKTRAIL_BIN", ""))
    if not path.is_file():
        sys.exit("set CLICKTRAIL_BIN to the clicktrail binary")
    return path


def clicktrail(project: Path, *arguments: str) -> None:
    """Runs a command in a project; what it said is shown when it fails."""
    command = [str(binary()), *arguments]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, env=clean_environment())
    if said.returncode != 0:
        sys.exit(f"{' '.join(command)} gave exit code {said.returncode}\n{said.stdout}{said.stderr}")


def clean_environment() -> dict[str, str]:
    """The environment without settings of the developer's own."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("CLICKTRAIL_", "DBT_"))}


def demo(folder: Path) -> Path:
    """A demo project with its tables built.

    Data tests are left to `cargo nextest`: these checks look at tables, whatever the tests say of them.
    """
    clicktrail(folder, "init", "shop", "--demo")
    project = folder / "shop"
    clicktrail(project, "seed", "--quiet")
    clicktrail(project, "run", "--quiet")
    return project


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def difference(database, left: str, right: str, columns: list[str]) -> str:
    """How two relations differ as bags of rows, in words; empty when they do not."""
    names = ", ".join(quoted(column) for column in columns)
    found = []
    for one, other, side in [(left, right, "first"), (right, left, "second")]:
        sql = f"select {names} from {one} except all select {names} from {other}"
        count = database.sql(f"select count(*) from ({sql})").fetchall()[0][0]
        if count:
            row = database.sql(f"select * from ({sql}) order by all limit 1").fetchall()[0]
            found.append(f"{count} rows only in the {side}, such as {dict(zip(columns, map(str, row)))}")
    return "; ".join(found)


class Checks:
    """Counts checks and tells each as it is made.

    A file that hangs costs `./test` half an hour at most: then it says where it hung and ends with 1.
    """

    def __init__(self, name: str) -> None:
        self.name, self.good, self.bad = name, 0, 0
        faulthandler.dump_traceback_later(1800, exit=True)

    def equal(self, what: str, left, right) -> None:
        self.holds(what, "" if left == right else f"{left} is not {right}")

    def holds(self, what: str, complaint: str) -> None:
        """A check that holds when there is no complaint."""
        if complaint:
            self.bad += 1
            print(f"  FAIL  {what}: {complaint}")
        else:
            self.good += 1
            print(f"  ok    {what}")

    def finish(self) -> None:
        """Leaves the process, with 1 when a check did not hold or none was made."""
        print(f"{self.name}: {self.good} checks held, {self.bad} did not")
        sys.exit(1 if self.bad or not self.good else 0)
