# SPDX-License-Identifier: MIT
"""How gdb shows Event, Registration and Slot: `source scripts/debuggers/gdb_printers.py`, or gdb -x. Visual Studio's
debugger reads reactor.natvis, which stands beside this."""
import gdb
import gdb.printing


def flags(value):
    """The names of the bits that are set, for example readable|writable."""
    number, names = int(value), []
    for field in value.type.fields():
        name = field.name.rpartition("::")[2]
        if field.enumval == number:
            return name
        if field.enumval & (field.enumval - 1) == 0 and number & field.enumval:
            names.append(name)
    return "|".join(names) or str(number)


class EventPrinter:
    def __init__(self, event):
        self.event = event

    def to_string(self):
        text = f"token {int(self.event['token_'])}: {flags(self.event['readiness_'])}"
        error = int(self.event["error_value_"])
        return f"{text}, error {error & 0xFFFFFFFF:#x}" if error else text


class RegistrationPrinter:
    def __init__(self, registration):
        self.registration = registration

    def to_string(self):
        generation = int(self.registration["generation_"])
        return f"slot {int(self.registration['slot_'])}, generation {generation}" if generation else "no registration"


class SlotPrinter:
    """In a line what the slot is for, and below that the members, as without a printer."""

    def __init__(self, slot):
        self.slot = slot

    def to_string(self):
        slot = self.slot
        poll = flags(slot["state"]["value_"])
        if not int(slot["generation"]):
            return f"slot {int(slot['index'])}: retired, poll {poll}"
        whose = "" if slot["asked_for"] == slot["generation"] else " (not for this registration)"
        return (f"slot {int(slot['index'])}: socket {int(slot['socket'])}, token {int(slot['token'])}, "
                f"generation {int(slot['generation'])}, poll {poll}{whose}, wants {flags(slot['wanted'])}, "
                f"disarmed {flags(slot['disarmed'])}, {flags(slot['mode'])}, list {flags(slot['list'])}")

    def children(self):
        return [(field.name, self.slot[field.name]) for field in self.slot.type.fields()]


printers = gdb.printing.RegexpCollectionPrettyPrinter("reactor")
printers.add_printer("Event", "^reactor::Event$", EventPrinter)
printers.add_printer("Registration", "^reactor::Registration$", RegistrationPrinter)
printers.add_printer("Slot", "^reactor::afd::Slot$", SlotPrinter)
gdb.printing.register_pretty_printer(gdb.current_objfile(), printers, replace=True)
