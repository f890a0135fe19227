#!/usr/bin/env python3
"""Keeps docs/kernel-facts.md: what the gates and kernel_test found, beside what public sources say of real Windows.

usage: facts.py --check GATES.json    compare a run with the facts on record for its system, and the page with the record
       facts.py --record GATES.json   put a run on record (docs/facts/) and write the page anew
       facts.py --page                write the page anew, after a change of its template

GATES.json is what scripts/gates.py and scripts/gates.ps1 write. The page is made of docs/kernel-facts.in.md, where a line
`@fact ID | what public sources say` stands for a row of a table with its id and a column for each system on record. A fact
that no system on record has an answer to yet says what is asked: `@fact ID ? ASKED | what public sources say`. And
`@figures` for a table of the figures, which differ from run to run. Systems on record have different names: Wine by its
version, Windows by its build, both by the architecture of the programs.
"""
import json
import pathlib
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
SUITE = "kernel_test"
RECORDS, TEMPLATE, PAGE = DOCS / "facts", DOCS / "kernel-facts.in.md", DOCS / "kernel-facts.md"


class Problem(Exception):
    pass


def system_name(run):
    system = run["system"]
    base = f"Wine {system['wine']}" if system["wine"] else f"Windows {system['windows']}"
    return base if system["architecture"] == "x64" else f"{base} {system['architecture']}"


def record_path(run):
    return RECORDS / (system_name(run).lower().replace(" ", "-") + ".json")


def facts_of(run, kind, parts=None):
    """The facts by id; `parts`: only those that these gates found."""
    facts = {}
    for gate in run["gates"]:
        for fact in gate["facts"]:
            if fact["kind"] != kind or (parts is not None and gate["gate"] not in parts):
                continue
            if fact["id"] in facts:
                raise Problem(f"found twice: {fact['id']}")
            facts[fact["id"]] = fact
    return facts


def load(path):
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise Problem(f"cannot read {path}: {error}") from error


def cell(text):
    return text.replace("|", "\\|")


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return lines + ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows]


def make_page(runs):
    """runs: name -> run, Wine first. A system on which the gates were not run yet has an empty column."""
    names = list(runs)
    columns = names if any(n.startswith("Windows") for n in names) else names + ["Windows"]
    facts = {name: facts_of(runs[name], "fact") for name in names}
    asked = {}
    for name in names:
        for fact_id, found in facts[name].items():
            asked.setdefault(fact_id, found["asked"])
    used, out, rows = set(), [], []
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines() + [""]:
        if line.startswith("@fact "):
            named, _, public = (part.strip() for part in line[len("@fact "):].partition("|"))
            fact_id, _, to_ask = (part.strip() for part in named.partition("?"))
            if to_ask:
                asked.setdefault(fact_id, to_ask)
            if fact_id not in asked:
                raise Problem(f"{TEMPLATE.name} names a fact that no run on record found: {fact_id}")
            used.add(fact_id)
            rows.append([f"`{fact_id}`", asked[fact_id]] + [facts.get(c, {}).get(fact_id, {}).get("answer", "") for c in columns] + [public])
            continue
        if rows:
            out += table(["id", "asked", *columns, "public sources on real Windows"], rows)
            rows = []
        if line == "@figures":
            figures = {name: facts_of(runs[name], "figure") for name in names}
            ids = dict.fromkeys(i for name in names for i in figures[name])
            out += table(["figure", *names], [
                [next(figures[n][i]["asked"] for n in names if i in figures[n])]
                + [figures[n].get(i, {}).get("answer", "") for n in names] for i in ids])
        else:
            out.append(line)
    if missing := sorted(set(asked) - used):
        raise Problem(f"{TEMPLATE.name} does not name these facts: {', '.join(missing)}")
    return "\n".join(out).rstrip() + "\n"


def runs_on_record():
    runs = [load(path) for path in sorted(RECORDS.glob("*.json"))]
    return {system_name(run): run for run in sorted(runs, key=lambda r: r["system"]["wine"] is None)}


def check(run):
    on_record = runs_on_record()
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != make_page(on_record):
        raise Problem(f"{PAGE.name} is not what its template and its records make: run facts.py --record")
    name = system_name(run)
    if name not in on_record:
        return f"no facts on record for {name}; scripts/facts.py --record would add them"
    # Without a suite in the run (no doctest on that machine), the gates' facts are compared alone.
    parts = [gate["gate"] for gate in run["gates"]]
    now, then = facts_of(run, "fact"), facts_of(on_record[name], "fact", parts)
    different = [f"{i}: on record {then.get(i, {}).get('answer')}, now {now.get(i, {}).get('answer')}"
                 for i in dict.fromkeys([*then, *now]) if then.get(i, {}).get("answer") != now.get(i, {}).get("answer")]
    if different:
        raise Problem(f"{name} does not do what is on record:\n  " + "\n  ".join(different))
    return f"all {len(now)} facts are as on record for {name} in docs/kernel-facts.md"


def record(run):
    gates = {gate["gate"]: gate for gate in run["gates"]}
    stages = [gate for name, gate in gates.items() if name != SUITE]
    if len(stages) < 4 or not all(gate["passed"] or gate.get("skipped") for gate in stages):
        raise Problem("only a run whose gates are green, but for those that were skipped, goes on record")
    notes = ""
    if SUITE in gates and not gates[SUITE]["passed"]:
        notes = f"; {SUITE} failed there: {gates[SUITE]['verdict']}"  # that is how a new system differs
    if SUITE not in gates and record_path(run).exists():
        run["gates"] += [gate for gate in load(record_path(run))["gates"] if gate["gate"] == SUITE]
    RECORDS.mkdir(exist_ok=True)
    record_path(run).write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    write_page()
    return f"{system_name(run)} is on record; {PAGE.name} is written{notes}"


def write_page():
    PAGE.write_text(make_page(runs_on_record()), encoding="utf-8")
    return f"{PAGE.name} is written"


def main():
    if sys.argv[1:] == ["--page"]:
        print(f"PASS facts: {write_page()}")
        return
    actions = {"--check": check, "--record": record}
    if len(sys.argv) != 3 or sys.argv[1] not in actions:
        sys.exit(__doc__)
    try:
        print(f"PASS facts: {actions[sys.argv[1]](load(sys.argv[2]))}")
    except Problem as problem:
        sys.exit(f"FAIL facts: {problem}")


main()
