"""What stands in a box or a line of the terminal screen; pure."""

from __future__ import annotations

from typing import Any, Final

from rich.text import Text

from simulator.texts import texts

#: With " 100 %" behind it, this fits a box of a terminal 80 wide.
BAR_CELLS: Final = 9
LOW_PCT: Final = 30
Json = dict[str, Any]


class Words:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = texts(language)

    def __call__(self, key: str) -> str:
        """The text of a key; a key without a text is shown by its last part."""
        return self._texts.get(key, key.rpartition(".")[2])


def bar(soc_pct: float, cells: int = BAR_CELLS) -> str:
    """Charge as a bar."""
    full = round(cells * min(100.0, max(0.0, soc_pct)) / 100.0)
    return "█" * full + "░" * (cells - full)


def troubles(slot: Json, faults: list[Json], say: Words) -> list[str]:
    """Everything that is wrong with a slot, in words."""
    number = slot["slot"]
    here = {f"slot-{number:02d}", f"bms-{number:02d}", f"charger-{number:02d}"}
    told = {"lock-jammed", "bms-silent"}  # shown from the state itself
    found = [say("slot.jammed")] if slot["lock_jammed"] else []
    if slot["pack"] and slot["pack"]["bms_silent"]:
        found.append(say("act.mute"))
    found += slot["pack"]["protection"] if slot["pack"] else []
    if slot["charger"]["protection"]:
        found.append(f"{say('slot.charger')} {slot['charger']['protection']}")
    return found + [
        say(f"fault.{fault['kind']}")
        for fault in faults
        if fault["target"] in here and fault["kind"] not in told
    ]


def box(slot: Json, faults: list[Json], say: Words) -> Text:
    """The three lines inside the box of a slot."""
    pack, lines = slot["pack"], Text()
    if pack is None:
        lines.append(f"□ {say('slot.empty')}\n", "dim")
        lines.append("░" * BAR_CELLS + "\n", "dim")
    else:
        lines.append(f"▣ {pack['serial'] or say('slot.unreadable')}\n", "bold")
        low = pack["soc_pct"] < LOW_PCT
        lines.append(f"{bar(pack['soc_exact'])} ", "yellow" if low else "green")
        lines.append(f"{pack['soc_pct']} %\n")
    wrong = troubles(slot, faults, say)
    if wrong:
        lines.append("! " + ", ".join(wrong), "bold red")
    elif slot["charging"]:
        lines.append(f"{say('slot.charging')} {slot['charge_power_w']:.0f} W", "yellow")
    return lines


def foot(slot: Json, say: Words) -> str:
    """What stands in the lower edge of a slot's box: temperature and door."""
    pack, door = slot["pack"], say(f"slot.{slot['door']}")
    return door if pack is None else f"{pack['temps_c'][0]:.1f} °C {door}"


def head(state: Json, say: Words) -> str:
    """The line above the cabinet."""
    on = [name for name, active in {**state["outputs"], **state["inputs"]}.items() if active]
    lamps = " · ".join(say(f"world.{name}") for name in on)
    time = f"{say('time.simulated')} {state['sim_ms'] / 1000:.0f} s × {state['speed']:g}"
    frozen = f" [{say('time.freeze')}]" if state["frozen"] else ""
    return (
        f"{state['cabinet_id']}  {state['meter']['power_w']:.0f} W  "
        f"{state['climate']['temp_c']:.1f} °C  {time}{frozen}  {lamps}"
    )


def detail(slot: Json, say: Words) -> str:
    """What is true of the chosen slot."""
    pack, charger = slot["pack"], slot["charger"]
    lines = [
        f"{say('slot.slot')} {slot['slot']}: {say('slot.' + slot['door'])}"
        f"{'' if slot['latched'] or slot['door'] == 'open' else ', ' + say('slot.unlatched')}",
        f"{say('slot.charger')}: {charger['voltage_v']:.2f} V {charger['current_a']:.2f} A "
        f"{charger['temp_c']:.1f} °C  {say('slot.mains')}: "
        f"{say('slot.on' if slot['ac_on'] else 'slot.off')}  "
        f"{say('slot.air')}: {slot['air_temp_c']:.1f} °C",
    ]
    if pack:
        low, high = min(pack["cell_v"]), max(pack["cell_v"])
        lines.append(
            f"{pack['serial'] or say('slot.unreadable')}: {pack['soc_exact']:.1f} %  "
            f"{pack['voltage_v']:.2f} V {pack['current_a']:.2f} A  {pack['temps_c'][0]:.1f} °C  "
            f"{say('slot.cells')} {low:.3f}–{high:.3f} V  {say('slot.cycles')} {pack['cycles']}"
        )
        standing = ", ".join(pack["protection"]) or say("slot.none")
        lines.append(f"{say('slot.protection')}: {standing}")
    return "\n".join(lines)


def event_line(event: Json, say: Words) -> str:
    """One line of the log."""
    known = ("seq", "sim_ms", "wall_ms", "kind", "slot")
    rest = " ".join(
        f"{key}={value}" for key, value in event.items() if key not in known and value is not None
    )
    place = f"{say('slot.slot')} {event['slot']} · " if event["slot"] else ""
    return f"{event['sim_ms'] / 1000:9.1f} s  {place}{say('log.' + event['kind'])} {rest}"
