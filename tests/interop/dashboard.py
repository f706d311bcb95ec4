"""The dashboard of config/grafana as data: its panels and queries, and what must hold for it without a Grafana."""

import itertools
import json
import re

import rig

FILE = rig.REPOSITORY / "config/grafana/dashboards/gatepost.json"
COLUMNS = 24
ROWS = ["Inbound TLS", "Policy decisions", "Outbound TLS", "Failures by reason", "Queue", "Certificates and exceptions",
        "Audit log and process"]
# What Grafana itself puts in, and what stands for it here.
GIVEN = {"__rate_interval": "1m", "__interval": "5s", "__range": "10m"}
VERSIONS = {"none", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}


class Dashboard:
    def __init__(self):
        self.json = json.loads(FILE.read_text())
        self.rows = [panel for panel in self.json["panels"] if panel["type"] == "row"]
        self.panels = [panel for panel in self.json["panels"] if panel["type"] != "row"]
        self.variables = {variable["name"]: variable for variable in self.json["templating"]["list"]}

    def substituted(self, text):
        """A query as Grafana sends it while `All` is chosen everywhere."""
        values = {**GIVEN, **{name: variable.get("allValue", "") for name, variable in self.variables.items()}}
        return re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], text)

    def queries(self):
        """Name, target and query of each target."""
        return [(f"{panel['id']} {panel['title']} {target['refId']}", target, self.substituted(target["expr"]))
                for panel in self.panels for target in panel["targets"]]

    def annotations(self):
        """Name and query of those that are ours."""
        return [(one["name"], self.substituted(one["expr"])) for one in self.json["annotations"]["list"] if "expr" in one]

    def label_queries(self):
        """Name of the variable, selector and label of each list of choices."""
        for name, variable in self.variables.items():
            if variable["type"] == "query":
                selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
                yield name, self.substituted(selector), label


def overlaps(one, other):
    a, b = one["gridPos"], other["gridPos"]
    return (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
            and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"])


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def colours(panel):
    """What the panel paints in a colour of its own."""
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        for change in override["properties"]:
            if change["id"] == "color":
                yield override["matcher"]["options"], change["value"]["fixedColor"]


def check(checks, board):
    """What can be said of the file alone."""
    every = board.json["panels"]
    checks.equal("rows are in the order of a message's way", [row["title"] for row in board.rows], ROWS)
    checks.equal("ids of panels are unique", len({panel["id"] for panel in every}), len(every))
    pairs = [(a["title"], b["title"]) for a, b in itertools.combinations(every, 2) if overlaps(a, b)]
    checks.equal("no panel covers another", pairs, [])
    wide = [panel["title"] for panel in every if panel["gridPos"]["x"] + panel["gridPos"]["w"] > COLUMNS]
    checks.equal("no panel is wider than the page", wide, [])
    checks.check("a dashboard can be provisioned: no id, a uid", board.json["id"] is None and bool(board.json["uid"]))
    for panel in board.panels:
        references = [target.get("refId") for target in panel["targets"]]
        unit = panel["fieldConfig"]["defaults"].get("unit")
        sources = {json.dumps(one.get("datasource")) for one in [panel, *panel["targets"]]}
        source = json.dumps({"type": "prometheus", "uid": "${DS_PROMETHEUS}"})
        is_whole = (all(target.get("expr") for target in panel["targets"]) and all(references)
                    and len(set(references)) == len(references) and unit and len(panel.get("description", "")) > 20
                    and sources == {source})
        checks.check(f"{panel['title']}: queries, unit, description, data source", is_whole, f"{references} {unit} {sources}")
    used = {name for text in strings(board.json) for name in re.findall(r"\$\{?(\w+)\}?", text)}
    unknown = used - set(GIVEN) - set(board.variables) - {"__all"}
    checks.equal("variables that are used are there", unknown, set())
    checks.equal("variables that are there are used", set(board.variables) - used, set())
    of_versions = [panel for panel in board.panels if any("by (protocol)" in target["expr"] for target in panel["targets"])]
    painted = [dict(colours(panel)) for panel in of_versions]
    checks.check("there are panels by version", len(of_versions) > 3)
    checks.equal("each version has its colour, the same everywhere", [shown for shown in painted if shown != painted[0]], [])
    checks.equal("each version has a colour", (set(painted[0]), len(set(painted[0].values()))), (VERSIONS, len(VERSIONS)))
