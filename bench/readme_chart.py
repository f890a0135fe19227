#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The picture of README.md: kernel calls per message of each way to wait, from the table of docs/performance/results.md.

usage: readme_chart.py            draw docs/performance/calls.svg anew
       readme_chart.py --check    fail if it is not what the table says
"""
import pathlib
import re
import sys
from xml.sax.saxutils import escape

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "performance"
PICTURE = FOLDER / "calls.svg"
SCENARIO = "64-of-64, under Wine"
# Rows of the table, and what they are called in the picture. One receive and one send of each message are no part of it.
ROWS = {"Asio": "Asio: completions for receive and send", "libuv": "libuv: completions, and receives twice",
        "wepoll": "wepoll: one AFD_POLL for each event", "ours": "reactor: one AFD_POLL for many sockets"}
WIDTH, LABELS, LONGEST, BAR, GAP, TOP = 760, 310, 360, 26, 14, 62
STYLE = """
  text { font: 14px sans-serif; fill: #1b1f24 }
  .title { font-size: 15px; font-weight: bold }
  .note { font-size: 12px; fill: #3d444d }
  .end { text-anchor: end }
  .page { fill: #ffffff }
  .bar { fill: #9fb3c8 }
  .ours { fill: #0b6e4f }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #b6bfc9 }
    .page { fill: #0d1117 }
    .bar { fill: #4a6078 }
    .ours { fill: #3fb68b }
  }
"""


def calls_of_table(page):
    """Row -> all kernel calls per message, less one receive and one send."""
    table = re.search(rf"^\*\*{re.escape(SCENARIO)}\*\*.*?\n\n(.*?)\n\n", page, re.DOTALL | re.MULTILINE)
    if not table:
        sys.exit(f"FAIL readme_chart: results.md has no table of {SCENARIO}")
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].split("\n")]
    column = header.index("all calls/msg")
    return {row[0]: float(row[column].replace(",", "")) - 2 for row in rows if row[0] in ROWS and row[column] != "-"}


def picture(calls):
    longest = max(calls.values())
    height = TOP + len(calls) * (BAR + GAP) + 34
    parts = []
    for i, name in enumerate(sorted(calls, key=lambda name: -calls[name])):
        y = TOP + i * (BAR + GAP)
        width = max(calls[name] / longest * LONGEST, 2)
        parts += [f'<text class="end" x="{LABELS}" y="{y + 18}">{escape(ROWS[name])}</text>',
                  f'<rect class="{"ours" if name == "ours" else "bar"}" x="{LABELS + 12}" y="{y}" width="{width:.0f}" height="{BAR}" rx="3"/>',
                  f'<text x="{LABELS + 20 + width:.0f}" y="{y + 18}">{calls[name]:.2f}</text>']
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">',
             "<title>Kernel calls per message, 64 busy sockets</title>", f"<style>{STYLE}</style>",
             f'<rect class="page" width="{WIDTH}" height="{height}"/>',
             '<text class="title" x="20" y="26">Kernel calls per message, beside one receive and one send</text>',
             '<text class="note" x="20" y="46">64 busy TCP connections, one message each at a time; fewer is better</text>',
             *parts,
             f'<text class="note" x="20" y="{height - 14}">Counted under Wine 8: docs/performance/results.md, {SCENARIO}</text>',
             "</svg>"]
    return "\n".join(lines) + "\n"


def write():
    PICTURE.write_text(picture(calls_of_table((FOLDER / "results.md").read_text(encoding="utf-8"))), encoding="ascii")


def check():
    if PICTURE.read_text(encoding="ascii") != picture(calls_of_table((FOLDER / "results.md").read_text(encoding="utf-8"))):
        sys.exit("FAIL readme_chart: docs/performance/calls.svg is not what results.md says: run bench/readme_chart.py")


if __name__ == "__main__":
    check() if sys.argv[1:] == ["--check"] else write()
