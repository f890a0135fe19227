#!/usr/bin/env python3
"""Draws the pictures of docs/architecture.md: docs/architecture/*.svg. The same script makes the same files."""
import pathlib
from xml.sax.saxutils import escape

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "architecture"

# A page that embeds the picture as an image passes its colour scheme on to it.
STYLE = """
  text { font: 13px sans-serif; fill: #1b1f24 }
  .title { font-size: 15px; font-weight: bold }
  .name { font-weight: bold; text-anchor: middle }
  .note { font-size: 12px; text-anchor: middle }
  .label { font-size: 12px; fill: #3d444d }
  .middle { text-anchor: middle }
  .end { text-anchor: end }
  .page { fill: #ffffff }
  .box { fill: #eef3fa; stroke: #44608a; stroke-width: 1.5 }
  .kernel { fill: #fbf0e2; stroke: #97621c; stroke-width: 1.5 }
  .outside { fill: #edf6ed; stroke: #3c763d; stroke-width: 1.5 }
  .arrow { fill: none; stroke: #555d66; stroke-width: 1.4; marker-end: url(#head) }
  .dashed { stroke-dasharray: 5 4 }
  .head { fill: #555d66 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .label { fill: #b6bfc9 }
    .page { fill: #0d1117 }
    .box { fill: #1b2636; stroke: #7ea1d4 }
    .kernel { fill: #33260f; stroke: #d19a4a }
    .outside { fill: #16291a; stroke: #72b476 }
    .arrow { stroke: #9aa4ae }
    .head { fill: #9aa4ae }
  }
"""
LINE = 16


class Picture:
    def __init__(self, width, height, title):
        self.size, self.title, self.parts = (width, height), title, []

    def text(self, x, y, lines, kind):
        for i, line in enumerate(lines):
            self.parts.append(f'<text class="{kind}" x="{x}" y="{y + i * LINE}">{escape(line)}</text>')

    def box(self, x, y, width, height, name, notes=(), kind="box"):
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="7"/>')
        first = y + height / 2 - LINE * len(notes) / 2 + 5
        self.text(x + width / 2, first, [name], "name")
        self.text(x + width / 2, first + LINE, notes, "note")

    def arrow(self, path, label=(), at=(0, 0), anchor="", dashed=False):
        self.parts.append(f'<path class="arrow{" dashed" if dashed else ""}" d="{path}"/>')
        self.text(*at, label, f"label {anchor}".strip())

    def save(self, name):
        width, height = self.size
        lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                 f'viewBox="0 0 {width} {height}" role="img">', f"<title>{escape(self.title)}</title>",
                 f"<style>{STYLE}</style>",
                 '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
                 'orient="auto"><path class="head" d="M0 0 10 5 0 10z"/></marker></defs>',
                 f'<rect class="page" width="{width}" height="{height}"/>', *self.parts, "</svg>"]
        (FOLDER / name).write_text("\n".join(lines) + "\n", encoding="ascii")


def draw_states():
    p = Picture(965, 790, "The states of a poll and of a registration")
    p.text(24, 28, ["A poll: written by Polls alone"], "title")
    p.box(60, 90, 190, 60, "idle", ["the memory is ours"])
    p.box(385, 90, 190, 60, "pending", ["the kernel's memory"], "kernel")
    p.box(710, 90, 190, 60, "cancelling", ["the kernel's memory"], "kernel")
    p.arrow("M250 112H385", ["submit: pending"], (317, 104), "middle")
    p.arrow("M575 120H710", ["cancel"], (642, 112), "middle")
    p.arrow("M400 150C370 190 250 190 215 150", ["completion"], (307, 198), "middle")
    p.arrow("M800 150C780 240 190 240 140 150", ["completion"], (470, 235), "middle")
    p.arrow("M110 90C90 45 210 45 190 90", ["submit: completed synchronously, or refused"], (212, 62))

    p.text(24, 282, ["A registration: the list that it is in"], "title")
    p.box(80, 370, 200, 70, "marked", ["to be armed, in order"])
    p.box(410, 370, 200, 70, "armed", ["in no list;", "its poll is not idle"], "kernel")
    p.box(740, 370, 200, 70, "delivered", ["armed by a later wait"])
    p.box(80, 540, 200, 70, "suspected", ["is its socket open?"])
    p.box(410, 540, 200, 70, "modified", ["armed with others, by", "the thread's next wait"])
    p.box(740, 540, 200, 70, "disarmed", ["in no list;", "nothing is polled"])
    p.arrow("M130 322V370", ["add; add again", "(the new one)"], (122, 338), "end")
    p.arrow("M280 390H410", ["submit"], (345, 383), "middle")
    p.arrow("M410 420H280", ["cancelled, or", "nothing wanted"], (345, 436), "middle")
    p.arrow("M610 390H740", ["event"], (675, 383), "middle")
    p.arrow("M840 370C820 305 340 290 235 370", ["the next wait begins; or 100 ms have passed while a thread sleeps"],
            (545, 306), "middle")
    p.arrow("M600 440 745 540", ["event: oneshot, edge,", "Interest::none"], (694, 474))
    p.arrow("M740 575H610", ["modify,", "drained"], (675, 551), "middle")
    p.arrow("M440 540C420 490 340 480 265 440", ["as from delivered; or all", "of its batch are re-armed"], (422, 484))
    p.arrow("M120 440V540", ["no socket,", "says the", "first poll"], (112, 474), "end")
    p.arrow("M200 540V440", ["open: once more"], (208, 526))
    p.arrow("M220 610C270 675 770 675 830 610", ["refused once more: one failed event, not_supported"],
            (525, 676), "middle")
    p.box(410, 710, 200, 56, "retired", ["while its poll is not idle"], "kernel")
    p.box(740, 710, 200, 56, "released", ["the slot is free"], "outside")
    p.arrow("M280 738H410", ["from every state:", "removed, or its", "socket was closed"], (272, 726), "end",
            dashed=True)
    p.arrow("M610 738H740", ["completion"], (675, 730), "middle")
    p.save("states.svg")


def draw_flow():
    p = Picture(1120, 500, "How an event becomes an Event")
    p.text(24, 28, ["From add to Event, on Windows"], "title")
    top, bottom, height = 60, 270, 76
    p.box(24, top, 130, bottom + height - top, "program", ["add, modify,", "drained, remove,", "wait, wake"], "outside")
    p.box(250, top, 160, height, "AfdBackend", ["one lock;", "slots in Registry"])
    p.box(480, top, 160, height, "ArmQueue", ["what is to be armed"])
    p.box(710, top, 160, height, "Polls", ["each alone, or", "many as a Group"])
    p.box(940, top, 156, height, "kernel", ["AFD_POLL"], "kernel")
    p.box(940, bottom, 156, height, "port", ["packets"], "kernel")
    p.box(710, bottom, 160, height, "WaitLoop", ["arms, dequeues,", "and again"])
    p.box(480, bottom, 160, height, "Dispatcher", ["what a completion", "means"])
    p.box(250, bottom, 160, height, "EventSink", ["the caller's buffer"])
    middle = top + height / 2
    p.arrow(f"M154 {middle}H250", ["1 add"], (202, middle - 8), "middle")
    p.arrow(f"M410 {middle}H480", ["mark"], (445, middle - 8), "middle")
    p.arrow(f"M640 {middle}H710", ["2 arm"], (675, middle - 8), "middle")
    p.arrow(f"M870 {middle}H940", ["3 submit"], (905, middle - 8), "middle")
    p.arrow(f"M1018 {top + height}V{bottom}", ["ready later"], (1008, 208), "end")
    middle = bottom + height / 2
    p.arrow(f"M940 {middle}H870", ["4 dequeue"], (905, middle - 8), "middle")
    p.arrow(f"M710 {middle}H640", ["5 packet"], (675, middle - 8), "middle")
    p.arrow(f"M480 {middle}H410", ["6 deliver"], (445, middle - 8), "middle")
    p.arrow(f"M250 {middle}H154", ["Event"], (202, middle - 8), "middle")
    p.arrow(f"M740 {top + height}L625 {bottom}", ["5 ready at once:", "completed synchronously"], (726, 185))
    p.arrow(f"M530 {bottom}V{top + height}", ["7 marked again:", "now, or by a", "later wait"], (520, 192), "end")
    p.box(710, 410, 160, 60, "Doorbell", ["at most one packet"])
    p.arrow("M89 346V440H710", ["wake: takes no lock"], (400, 432), "middle")
    p.arrow(f"M790 {bottom + height}V410", ["nudge another", "thread that sleeps"], (780, 374), "end")
    p.arrow(f"M870 440H1018V{bottom + height}", ["post"], (944, 432), "middle")
    p.save("flow.svg")


FOLDER.mkdir(exist_ok=True)
draw_states()
draw_flow()
