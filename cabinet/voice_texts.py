"""What the cabinet says aloud, per prompt of the swap; made for text-to-speech.

The words are whole sentences, so that a file per prompt, slot and language can be made once and
played by a cabinet that has a loudspeaker and nothing else. Prompts that are reasons are said in
the words that the kiosk page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: prompt: (zh, en); ``{slot}`` is the number of the door.
SPOKEN: Final[Mapping[str, tuple[str, str]]] = {
    "insert-battery": ("请把旧电池放入{slot}号仓，插好并关门。",
                       "Put your old battery into slot {slot}, plug it in and shut the door."),
    "reseat-battery": ("{slot}号仓的电池没有插好，请插紧后关门。",
                       "The battery in slot {slot} is not plugged in. Push it in firmly and shut the door."),
    "take-battery": ("请从{slot}号仓取走满电电池并关门。",
                     "Take the full battery from slot {slot} and shut the door."),
    "take-battery-back": ("请从{slot}号仓取回你的电池并关门。",
                          "Take your battery back from slot {slot} and shut the door."),
    "no-battery": ("{slot}号仓里没有电池，请再次开门，放入电池。",
                   "There is no battery in slot {slot}. Open it again and put it in."),
    "not-taken": ("{slot}号仓的电池还没取走。", "The full battery is still in slot {slot}."),
    "close-door": ("请关上{slot}号仓门。", "Please shut door {slot}."),
    "done": ("完成了，一路平安。", "All done. Ride safely."),
    "cancelled": ("已取消，没有更换电池。", "It was cancelled. Nothing was exchanged."),
}  # fmt: skip
#: Said when something ended badly for a reason that has no words of its own.
FALLBACK: Final = ("这次没有完成，请联系客服。", "This could not be finished. Please call us.")


def file_name(prompt: str, slot: int | None) -> str:
    """Of the recording: with the slot's number where the sentence has one."""
    text = SPOKEN.get(prompt, FALLBACK)[0]
    return f"{prompt}-{slot:02d}" if "{slot}" in text and slot is not None else prompt
