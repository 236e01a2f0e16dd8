"""What the dashboard ships: its size, where vendored files came from, contrast of its colours, no inline styles."""

import gzip
import hashlib
import re
import tomllib
from pathlib import Path

from harness import Checks

WEB = Path(__file__).resolve().parent.parent / "crates/server/web"
BUDGET_BYTES = 150 * 1024
KINDS = {".js", ".mjs", ".css", ".svg", ".html"}
# Text needs 4.5 against what it stands on; borders of controls and marks of charts need 3 (WCAG 2.2, 1.4.3 and 1.4.11).
TEXT = ["ink", "muted", "link", "good", "warn", "bad", "first", "last"]
MARKS = ["control", "c-paid", "c-organic", "c-email", "c-social", "c-referral", "c-display", "c-direct", "c-other"]


def luminance(color: str) -> float:
    parts = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def themes() -> dict[str, dict[str, str]]:
    """Tokens of both themes; the dark ones stand there twice and have to be equal."""
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", (WEB / "css/tokens.css").read_text())
    read = [(name.strip(), dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", body))) for name, body in blocks]
    light, dark, system = (tokens for _, tokens in read[:3])
    assert dark == system, "the dark tokens of the system and of the switch differ"
    return {"light": light, "dark": dark}


def assets(checks: Checks) -> None:
    files = [file for file in WEB.rglob("*") if file.suffix in KINDS]
    # Each file for itself, as they are sent.
    size = sum(len(gzip.compress(file.read_bytes(), 9)) for file in files)
    print(f"        all assets: {size / 1024:.1f} KiB gzip")
    checks.holds("all assets ≤ 150 KiB gzip", "" if size <= BUDGET_BYTES else f"{size} bytes")
    for source in sorted(WEB.glob("vendor/*/SOURCE.toml")):
        told = tomllib.loads(source.read_text())
        wrong = [name for name, entry in told["files"].items() if hashlib.sha256((source.parent / name).read_bytes()).hexdigest() != entry["sha256"]]
        unknown = {file.name for file in source.parent.iterdir()} - set(told["files"]) - {"SOURCE.toml"}
        checks.equal(f"vendored {told['name']} {told['version']} is what it says, with its licence", (wrong, unknown, "LICENSE" in told["files"]), ([], set(), True))
    for theme, tokens in themes().items():
        low = [f"{name} {contrast(tokens[name], tokens['card']):.2f}" for names, least in ((TEXT, 4.5), (MARKS, 3)) for name in names if contrast(tokens[name], tokens["card"]) < least]
        low += [f"{name} on its tint" for name in ("good", "warn", "bad", "link") if contrast(tokens[name], tokens[f"{name}-tint"]) < 4.5]
        checks.holds(f"contrast of all colours, {theme}", ", ".join(low))
    own = [file for file in files if "vendor" not in file.parts and file.suffix in {".js", ".html"}]
    bad = [f"{file.name}: {word}" for file in own for word in ("innerHTML", "insertAdjacentHTML", "document.write", " style=\"", "eval(") if word in file.read_text()]
    checks.holds("no markup from text and no inline style in the sources", ", ".join(bad))
    foreign = [f"{file.name}: {url}" for file in own for url in re.findall(r"https?://[^\s\"'`)]+", file.read_text()) if "www.w3.org" not in url]
    checks.holds("no address of another host in the sources", ", ".join(foreign))
