"""The Paths page against the rows of the tables: every figure is counted here once more, from journeys as they stand."""

from collections import Counter, defaultdict
from decimal import Decimal
from statistics import median

from dashboard_browser import cells, embedded, settled
from harness import Checks

COLUMNS, NAMES, PATHS, POSITIONS = 5, 7, 25, 12
LAGS = [("same day", 0, 0), ("1", 1, 1), ("2–3", 2, 3), ("4–6", 4, 6), ("7–13", 7, 13), ("14–29", 14, 29), ("30–59", 30, 59), ("60–89", 60, 89), ("90+", 90, 10**9)]


class Journeys:
    """Steps, seconds from the first touch, and revenue of each conversion of a period."""

    def __init__(self, sql, definition: dict, by: str, collapse: bool) -> None:
        chosen = f"""is_counted and event_name = '{definition["conversion"]}' and conversion_date between date '{definition["from"]}' and date '{definition["to"]}'"""
        bought = sql(f"select conversion_id as id, case when currency = '{definition['currency']}' then revenue end as revenue from int_conversions where {chosen}")
        touches = sql(f"select conversion_id as id, {by} as name, seconds_before from int_journeys where conversion_id in (select conversion_id from int_conversions where {chosen}) order by conversion_id, position")
        self.revenue = {row["id"]: Decimal(str(row["revenue"] or 0)) for row in bought}
        self.steps = {identity: () for identity in self.revenue}
        self.seconds = dict.fromkeys(self.revenue, 0)
        for row in touches:
            steps, identity = self.steps[row["id"]], row["id"]
            if not (collapse and steps and steps[-1] == row["name"]):
                self.steps[identity] = (*steps, row["name"])
            self.seconds[identity] = max(self.seconds[identity], int(row["seconds_before"]))

    def paths(self) -> list[tuple[tuple, list[str]]]:
        """Paths with their conversions, the largest first."""
        found = defaultdict(list)
        for identity, steps in self.steps.items():
            found[steps].append(identity)
        return sorted(found.items(), key=lambda path: (-len(path[1]), len(path[0]), path[0]))

    def top(self) -> dict[str, object]:
        """Cells of the table of paths."""
        wanted, paths = {}, self.paths()
        rows = [(">".join(steps), ids) for steps, ids in paths[:PATHS]]
        rest = [identity for _, ids in paths[PATHS:] for identity in ids]
        for name, ids in [*rows, *([("other", rest)] if rest else []), ("total", list(self.revenue))]:
            wanted |= {f"{name}|conversions": len(ids), f"{name}|revenue": sum((self.revenue[i] for i in ids), Decimal(0))}
        return wanted | {f"{name}|days": median(self.seconds[i] for i in ids) // 86_400 for name, ids in rows}

    def lengths(self) -> dict[str, int]:
        found = Counter(min(len(steps), 10) for steps in self.steps.values())
        return {f"{'10+' if length == 10 else length}|conversions": count for length, count in found.items()}

    def lags(self) -> dict[str, int]:
        days = {identity: seconds // 86_400 for identity, seconds in self.seconds.items() if self.steps[identity]}
        found = {label: sum(low <= day <= high for day in days.values()) for label, low, high in LAGS}
        return {f"{label}|conversions": count for label, count in (found | {"no touch": len(self.steps) - len(days)}).items()}

    def positions(self) -> dict[str, int]:
        found = defaultdict(Counter)
        for steps in self.steps.values():
            for place, name in enumerate(steps):
                found[name]["only" if len(steps) == 1 else "early" if place == 0 else "late" if place == len(steps) - 1 else "mid"] += 1
        names = sorted(found, key=lambda name: (-found[name].total(), name))[:POSITIONS]
        return {f"{name}|{part}": found[name][part] for name in names for part in ("only", "early", "mid", "late")}

    def flow(self) -> tuple[dict[str, int], dict[str, int], list[int]]:
        """Nodes, links (with what converts after a step), and the sum of each column."""
        walks = [steps[:COLUMNS] or ("(no touch)",) for steps in self.steps.values()]
        lengths = [max(1, len(steps)) for steps in self.steps.values()]
        shown = []
        for column in range(COLUMNS):
            sizes = Counter(walk[column] for walk in walks if len(walk) > column)
            shown.append(sorted(sizes, key=lambda name: (-sizes[name], name))[:NAMES])
        named = [tuple(name if name in shown[place] else "Other" for place, name in enumerate(walk)) for walk in walks]
        nodes, links = Counter(), Counter()
        for walk, length in zip(named, lengths):
            for place, name in enumerate(walk):
                nodes[f"{place + 1}|{name}"] += 1
                to = walk[place + 1] if place + 1 < len(walk) else "conversion" if length == len(walk) else "more touches"
                links[f"{place + 1}|{name}|{to}"] += 1
        return nodes, links, [sum(len(walk) > column for walk in walks) for column in range(COLUMNS)]


def paths_truth(checks: Checks, web, sql, same) -> None:
    """Every figure of the page, for a few of its views. `sql` asks the tables, `same` compares named figures."""
    for query in ("", "?d=14&collapse=1", "?by=source&d=90", "?by=campaign"):
        page = web.open(f"/paths{query}")
        body = embedded(page)["body"]
        wanted = Journeys(sql, body["meta"]["definition"], body["data"]["by"], body["data"]["collapse"])
        title = f"paths{query}"
        same(checks, f"{title} top paths", cells(page, "[data-panel=paths-top] [data-cell]"), wanted.top())
        same(checks, f"{title} positions", cells(page, "[data-panel=paths-positions] [data-cell]"), wanted.positions())
        for panel, figures in (("paths-length", wanted.lengths()), ("paths-lag", wanted.lags())):
            page.locator(f"[data-panel={panel}]").get_by_role("button", name="Table").click()
            shown = cells(page, f"[data-panel={panel}] [data-cell]")
            same(checks, f"{title} {panel}", shown, figures)
            checks.equal(f"{title} {panel}: nothing else is shown", {name for name, value in shown.items() if Decimal(value)} - figures.keys(), set())
        nodes, links, sums = wanted.flow()
        told = {f"{node['column']}|{node['name']}": node["conversions"] for node in body["data"]["sankey"]["nodes"]}
        same(checks, f"{title} names of the flow", told, nodes)
        page.locator("[data-panel=paths-flow]").get_by_role("button", name="Table").click()
        shown = cells(page, "[data-panel=paths-flow] [data-cell]")
        same(checks, f"{title} flow from touch to touch", shown, links)
        columns = [sum(Decimal(value) for name, value in shown.items() if name.startswith(f"{column}|")) for column in range(1, COLUMNS + 1)]
        checks.equal(f"{title} each column of the flow holds all that come so far", columns, sums)
        page.context.close()
    # A number opens what is behind it.
    page = web.open("/paths")
    cell = page.locator("[data-panel=paths-top] tbody [data-cell$='|conversions'] a").nth(1)
    count = int(cell.inner_text())
    cell.click()
    settled(page)
    checks.equal("a path opens its conversions", page.locator("[data-panel=conversions] tbody tr").count(), count)
    page.context.close()
