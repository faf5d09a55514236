"""What a rider sees and may do: pure functions of the views. Nothing is remembered here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fleet.core import ids
from fleet.core.geo import Point
from fleet.core.hands import hands
from fleet.core.operations import TECHNICIAN_KINDS
from fleet.core.reservations import RiderFacts, refuse_reservation
from fleet.core.stations import RestStationView
from fleet.core.swaps import CabinetFacts, LedgerFacts, refuse, refuse_cabinet
from fleet.core.views import CabinetView, MovementView, RiderView, SwapView
from fleet.web.i18n import Catalogue
from protocols.messages import Kind, Step

#: How long a cabinet waits at a step, by its usual limits; shown as "about".
STEP_TIME_S: Final = {
    Step.AWAIT_RETURN: 120,
    Step.GIVING_BACK: 120,
    Step.AWAIT_PICKUP: 120,
    Step.AWAIT_CLOSE: 60,
}
ACT_STEPS: Final = frozenset(STEP_TIME_S)
IN_STEPS: Final = frozenset(
    {Step.OPENING_RETURN, Step.AWAIT_RETURN, Step.VERIFYING, Step.GIVING_BACK}
)
OUT_STEPS: Final = frozenset({Step.OPENING_PICKUP, Step.AWAIT_PICKUP, Step.AWAIT_CLOSE})
#: Where a door is waited for, so that it may be opened once more.
REOPEN_STEPS: Final = frozenset(
    {
        Step.OPENING_RETURN,
        Step.AWAIT_RETURN,
        Step.GIVING_BACK,
        Step.OPENING_PICKUP,
        Step.AWAIT_PICKUP,
    }
)
#: Until here nothing has changed hands.
OWN_BATTERY: Final = "own-battery"
GIVE_BACK: Final = "swap.give-back"
EARLY_STEPS: Final = frozenset({None, Step.RESERVED, Step.OPENING_RETURN, Step.AWAIT_RETURN})
_STEP_NAMES: Final = frozenset(step.value for step in Step)

Mood = Literal["wait", "act", "done", "bad"]
Stage = tuple[str, Literal["past", "now", "next"]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What changed hands: the movements that the ledger posted."""

    given: MovementView | None
    taken: MovementView | None


@dataclass(frozen=True, slots=True)
class SwapPage:
    """One swap as its rider sees it."""

    swap: SwapView
    mood: Mood
    title: str
    todo: str
    slot: int | None
    arrow: Literal["in", "out", ""]
    left_s: int | None
    stages: tuple[Stage, ...]
    can_reopen: bool
    can_cancel: bool
    receipt: Receipt
    can_give_back: bool = False
    refused: str | None = None  # why the cabinet did not do what was last asked
    advice: str = ""
    held: str = ""

    @property
    def say(self) -> str:
        """The step in one sentence, for screen readers."""
        return f"{self.title} {self.todo}".strip()


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing a rider may do at a cabinet; ``refusal`` says why not now."""

    kind: Kind
    refusal: str | None


def choices(
    cabinet: CabinetView,
    rider: RiderView | None,
    open_swap: SwapView | None,
    *,
    reserved: bool = False,
    plan_refusal: str | None = None,
) -> tuple[Choice, ...]:
    """What the rider may do, the main thing first. Of a stranger only the cabinet is judged."""
    facts = cabinet_facts(cabinet)
    if rider is None:
        refusal = refuse_cabinet(facts) or (None if cabinet.full else "no-full-battery")
        return (Choice(Kind.SWAP, refusal),)
    ledger = LedgerFacts(
        rider_serials=rider.serials,
        rider_open_swap=open_swap.id if open_swap else None,
        rider_denied=rider.denied,
        reserved=reserved,
        plan_refusal=plan_refusal,
    )
    kinds = (Kind.SWAP, Kind.RETURN) if rider.serials else (Kind.PICKUP,)
    return tuple(Choice(kind, refuse(kind, facts, ledger)) for kind in kinds)


def may_reserve(
    cabinet: CabinetView,
    rider: RiderView,
    open_swap: SwapView | None,
    plan_refusal: str | None = None,
) -> bool:
    """Whether a full battery may be kept for this rider, as far as the page can tell."""
    facts = RiderFacts(
        denied=rider.denied, open_swap=open_swap is not None, plan_refusal=plan_refusal
    )
    return refuse_reservation(cabinet_facts(cabinet), facts) is None


def cabinet_facts(cabinet: CabinetView) -> CabinetFacts:
    """The cabinet as the fleet's rules look at it."""
    return CabinetFacts(
        online=cabinet.online,
        age_ms=cabinet.age_ms,
        full=cabinet.full,
        empty=cabinet.empty,
        alarms=cabinet.alarms,
        active_swap=cabinet.active_swap,
    )


def swap_page(swap: SwapView, texts: Catalogue, now_ms: int) -> SwapPage:
    """The page of a swap: the same view gives the same page, but for the countdown."""
    receipt = receipt_of(swap)
    step = step_now(swap)
    slot = _slot(swap, step)
    key = step.value if step else "asked"
    if step is Step.OPENING_RETURN and swap.reason == "reseat":
        key = "reseat"
    own = swap.reason == OWN_BATTERY
    if own and step in (Step.GIVING_BACK, Step.CANCELLED):
        key = "own-back" if step is Step.GIVING_BACK else "own"
    shut_first = _shut_first(swap, step)
    if shut_first:
        key = "shut-first"
    ended_badly = swap.done and step is not Step.COMPLETED and not (own and receipt.taken)
    if swap.done and step is None:
        key = Step.FAULTED.value
    title = texts.text(_text_key(texts, swap.kind, f"swap.{key}.title"), slot=slot or "?")
    reasoned = swap.reason is not None and (ended_badly or step is Step.GIVING_BACK)
    reason = texts.reason(swap.reason) if reasoned and swap.reason else ""
    todo_key = _text_key(texts, swap.kind, f"swap.{key}.todo")
    todo = texts.text(todo_key, slot=slot or "?", reason=reason).strip()
    return SwapPage(
        swap=swap,
        mood=_mood(swap, step),
        title=title,
        todo=todo,
        slot=None if swap.done else slot,
        arrow="" if shut_first else _arrow(step),
        left_s=_left_s(swap, step, now_ms),
        stages=() if own and swap.done else _stages(swap, step),
        can_reopen=not swap.done and step in REOPEN_STEPS and not shut_first,
        can_cancel=_can_cancel(swap, receipt),
        can_give_back=_can_give_back(swap, step, receipt),
        refused=_refused(swap),
        receipt=receipt,
        advice=texts.advice(swap.reason or "unknown") if ended_badly else "",
        held=texts.text(f"held.{_held(swap, receipt)}") if ended_badly else "",
    )


def step_now(swap: SwapView) -> Step | None:
    """Where the rider stands.

    A cabinet never reports a step back: when a door is opened again it repeats the furthest step,
    and the detail begins with the step that it is really at.
    """
    if swap.step is None or swap.done:
        return swap.step
    first = swap.detail.partition(" ")[0]
    return Step(first) if first in _STEP_NAMES else swap.step


def receipt_of(swap: SwapView) -> Receipt:
    """The pack given and the pack taken, as posted."""
    return Receipt(*hands(swap))


def slot_of_holder(holder: str) -> str:
    """The number of a slot out of its holder's name, empty for another place."""
    return holder.rpartition(":")[2] if ids.is_slot(holder) else ""


def _slot(swap: SwapView, step: Step | None) -> int | None:
    if step in OUT_STEPS:
        return swap.slot_out
    if step in IN_STEPS:
        return swap.slot_in
    return None


def _text_key(texts: Catalogue, kind: Kind, key: str) -> str:
    """The text of this kind of transaction where there is one of its own."""
    own = f"{key}-{kind.value}"
    return own if texts.has(own) else key


def _mood(swap: SwapView, step: Step | None) -> Mood:
    if swap.done:
        own = swap.reason == OWN_BATTERY and receipt_of(swap).taken is not None
        return "done" if step is Step.COMPLETED or own else "bad"
    return "act" if step in ACT_STEPS else "wait"


def _arrow(step: Step | None) -> Literal["in", "out", ""]:
    if step is Step.AWAIT_RETURN:
        return "in"
    return "out" if step in (Step.AWAIT_PICKUP, Step.GIVING_BACK) else ""


def _left_s(swap: SwapView, step: Step | None, now_ms: int) -> int | None:
    limit_s = STEP_TIME_S.get(step) if step else None
    if limit_s is None or swap.done or not swap.updated_ms:
        return None
    left_s = limit_s - max(0, now_ms - swap.updated_ms) // 1_000
    return left_s if left_s > 0 else None


def _stages(swap: SwapView, step: Step | None) -> tuple[Stage, ...]:
    """Give, check, take: those that this kind has, and where the rider stands."""
    names = {
        Kind.PICKUP: ("take",),
        Kind.UNLOAD: ("take",),
        Kind.RETURN: ("give", "check"),
        Kind.LOAD: ("give", "check"),
        Kind.SWAP: ("give", "check", "take"),
    }[swap.kind]
    if step is Step.COMPLETED:
        return tuple((name, "past") for name in names)
    current = "give"
    if step in (Step.VERIFYING, Step.GIVING_BACK):
        current = "check"
    elif step in OUT_STEPS or "give" not in names:
        current = "take"
    at = names.index(current) if current in names else 0
    return tuple(
        (name, "past" if index < at else "now" if index == at else "next")
        for index, name in enumerate(names)
    )


def _can_cancel(swap: SwapView, receipt: Receipt) -> bool:
    if swap.done or receipt.given or receipt.taken:
        return False
    late_pickup = swap.kind in (Kind.PICKUP, Kind.UNLOAD) and swap.step in (
        Step.OPENING_PICKUP,
        Step.AWAIT_PICKUP,
    )
    return swap.step in EARLY_STEPS or late_pickup


def _can_give_back(swap: SwapView, step: Step | None, receipt: Receipt) -> bool:
    """From the moment the old pack is in until the full one is out."""
    pickup = step in (Step.VERIFYING, Step.OPENING_PICKUP, Step.AWAIT_PICKUP)
    asked = swap.asked is not None and swap.asked.type == GIVE_BACK
    pending = asked and swap.asked is not None and swap.asked.outcome in ("queued", "accepted")
    given, taken = receipt.given is not None, receipt.taken is not None
    return swap.kind is Kind.SWAP and not swap.done and pickup and given and not (taken or pending)


def _shut_first(swap: SwapView, step: Step | None) -> bool:
    """Whether the rider must shut the pick-up door, so that the own battery's opens."""
    asked = swap.asked
    wanted = asked is not None and (asked.type, asked.outcome) == (GIVE_BACK, "accepted")
    return wanted and not swap.done and step in OUT_STEPS


def _refused(swap: SwapView) -> str | None:
    asked = swap.asked
    if swap.done or asked is None or asked.outcome not in ("refused", "failed", "expired"):
        return None
    return asked.reason or "unknown"


def _held(swap: SwapView, receipt: Receipt) -> str:
    """Who has what after a swap that did not complete."""
    if swap.kind in TECHNICIAN_KINDS:
        return "technician"
    if receipt.taken:
        return "full"
    if receipt.given:
        return "owed" if swap.kind is Kind.SWAP else "returned"
    return "nothing" if swap.kind is Kind.PICKUP else "kept"


def point_of(what: CabinetView | RestStationView) -> Point | None:
    """Where a cabinet or a station stands, if that is known."""
    if what.lat is None or what.lon is None:
        return None
    return Point(what.lat, what.lon)
