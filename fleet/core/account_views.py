"""What riders and partners see of plans, charges and packs: immutable views."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class PlanView(Struct, frozen=True, kw_only=True):
    """A rider's plan as it stands; ``refusal`` is why it lets no full pack go now."""

    id: str
    name_zh: str
    name_en: str
    per: str  # swap or period
    price_minor: int
    currency: str
    used: int  # swaps of this period, those under way included
    days: int
    quota: int | None = None
    left: int | None = None
    until_ms: int | None = None
    partner: str = ""
    refusal: str | None = None
    quota_wh: int | None = None  # energy from sockets that is in the plan
    left_wh: int | None = None
    socket_refusal: str | None = None  # why it lets no session at a socket begin now


class ChargeView(Struct, frozen=True, kw_only=True):
    """What one transaction costs. ``state``: open, charged, void (no full pack was handed out)."""

    swap_id: str
    rider_id: str
    plan_id: str
    amount_minor: int
    currency: str
    state: str
    created_ms: int
    cabinet_id: str
    kind: str
    name_zh: str = ""
    name_en: str = ""
    subject: str = ""  # the rider's pseudonym at the partner


class SessionCharge(Struct, frozen=True, kw_only=True):
    """What a session at a socket costs a rider of a partner's; ``included``: it is in the plan."""

    session_id: str
    subject: str  # the rider's pseudonym at the partner
    cabinet_id: str
    socket: int
    plan_id: str
    state: str  # asked, on, ended, refused
    energy_wh: int
    duration_s: int
    included: bool
    created_ms: int
    amount_minor: int | None = None  # once it has ended


class PartnerView(Struct, frozen=True, kw_only=True):
    """A partner, as it sees itself; ``used_day``: swaps and sessions of the last 24 hours."""

    id: str
    name: str
    plan: str | None
    quota_day: int | None
    used_day: int
    off: bool
    colour: str = ""
    support_phone: str = ""


class Notice(Struct, frozen=True, kw_only=True):
    """What a partner is to be told of after so many tries: a swap or a session, one of the two."""

    partner: str
    url: str
    tries: int
    swap: ChargeView | None = None
    session: SessionCharge | None = None
    due_ms: int | None = None  # since when; what changes meanwhile is due anew


class PackView(Struct, frozen=True, kw_only=True):
    """A battery in a rider's hands."""

    serial: str
    since_ms: int
    model: str | None = None
    capacity_wh: int | None = None
    soc_pct: int | None = None  # at the hand-over, None when the cabinet did not tell
    capacity_ah: float | None = None  # when full, as the pack told at the hand-over
    cycles: int | None = None  # the same; None when it did not tell
    lent: int = 0  # how often it was handed out to a rider: its age in swaps


class ExportView(Struct, frozen=True, kw_only=True):
    """Everything that is kept of a rider."""

    rider_id: str
    number: str
    phone_tail: str
    created_ms: int
    denied_reason: str
    packs: tuple[PackView, ...]
    swaps: tuple[dict[str, Any], ...]
    reservations: tuple[dict[str, Any], ...]
    subscriptions: tuple[dict[str, Any], ...]
    charges: tuple[ChargeView, ...]
    partner_subjects: tuple[dict[str, Any], ...]
    audit_log: tuple[dict[str, Any], ...]
    socket_sessions: tuple[dict[str, Any], ...] = ()
    reports: tuple[dict[str, Any], ...] = ()
