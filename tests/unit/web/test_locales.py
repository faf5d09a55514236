"""Both languages are whole: same keys, same placeholders, nothing used that is not there."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from fleet.core.offline import FLAGS
from fleet.core.operations import ORDERS
from fleet.core.swaps import REFUSALS
from fleet.web import drawing, present
from fleet.web.i18n import LANGUAGES, accepted_language, catalogue
from protocols.messages import Door, Kind, Presence, SlotState, Step

WEB = Path(present.__file__).parent
ZH, EN = catalogue("zh"), catalogue("en")
#: Texts that are the same in every language, or a name in the other one.
NOT_CHINESE = {"app.other-language"}
#: What a cabinet may give as its reason, besides alarms.
CABINET_REASONS = (
    "rider", "cancelled", "occupied", "resumed", "reseat", "return-timeout", "nothing-inserted", "no-bms",
    "denied-pack", "foreign-pack", "duplicate-serial", "not-taken-back", "not-taken", "door-stuck",
    "door-unknown", "door-left-open", "slot-locked", "slot-unknown", "doors-locked", "door-not-shut",
    "slot-not-empty", "slot-not-loaded", "slot-required", "not-latched", "cause-stands", "no-reply",
    "lock-refused", "starting", "bad-arguments", "old-sequence", "bad-signature",
    "no-swap", "other-swap", "out-of-place", "too-late", "busy", "no-answer", "expired", "precondition",
    "own-battery", "nothing-returned", "quarantined", "slot-not-loaded", "already-held", "last-full-battery",
    "no-hold", "denied-rider", "last-empty-slot", "pickup-owed", "wrong-pack", "store",
)  # fmt: skip


ACCOUNT_REASONS = ("link-forged", "link-expired", "link-used", "holds-battery")


def test_same_keys() -> None:
    assert ZH.texts.keys() == EN.texts.keys()


@pytest.mark.parametrize("key", sorted(ZH.texts))
def test_same_placeholders(key: str) -> None:
    fields = [
        {name for _, name, _, _ in string.Formatter().parse(each.texts[key]) if name}
        for each in (ZH, EN)
    ]
    assert fields[0] == fields[1]


def test_no_chinese_text_is_english() -> None:
    plain = {
        key
        for key, text in ZH.texts.items()
        if not re.search(r"[\u4e00-\u9fff]", re.sub(r"\{\w+\}", "", text))
        and re.search(r"[A-Za-z]", re.sub(r"\{\w+\}", "", text))
    }
    assert plain == NOT_CHINESE


def test_no_english_text_is_chinese() -> None:
    chinese = {key for key, text in EN.texts.items() if re.search(r"[\u3000-\u9fff]", text)}
    assert chinese == NOT_CHINESE


def used_keys() -> set[str]:
    keys = set()
    for path in (*WEB.glob("templates/*.html"), *WEB.glob("*.py")):
        source = path.read_text(encoding="utf-8")
        keys |= set(re.findall(r"""\b(?:t|text)\(\s*"([a-z0-9.-]+)"\s*[,)]""", source))
    return keys


def test_every_used_key_exists() -> None:
    keys = used_keys()
    assert len(keys) > 80, "the search for keys is broken"
    assert keys <= ZH.texts.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_composed_key_exists(language: str) -> None:
    texts = catalogue(language)
    composed = [f"swap.{step.value}.{what}" for step in Step for what in ("title", "todo")]
    composed += [
        f"swap.{name}.{what}"
        for name in ("asked", "reseat", "own", "own-back", "shut-first")
        for what in ("title", "todo")
    ]
    composed += [f"swap.completed.title-{kind}" for kind in ("pickup", "return", "load", "unload")]
    composed += [f"order.{name}" for name in (*ORDERS, "load", "unload")]
    composed += [
        f"order.{name}.{what}"
        for name in ("ordered", "accepted", "done", "refused", "failed", "expired")
        for what in ("title", "todo")
    ]
    composed += [f"look.{look}" for look in drawing.LEGEND]
    composed += [f"state.{state.value}" for state in SlotState]
    composed += [f"door.{door.value}" for door in Door]
    composed += [f"presence.{presence.value}" for presence in Presence]
    composed += [f"kind.{kind.value}" for kind in Kind]
    composed += [f"cabinet.{kind}" for kind in ("swap", "pickup", "return")]
    composed += [f"stage.{name}" for name in ("give", "check", "take", "past", "now", "next")]
    composed += [
        f"held.{name}" for name in ("kept", "nothing", "owed", "returned", "full", "technician")
    ]
    composed += [
        f"outcome.{name}" for name in ("running", "completed", "rejected", "cancelled", "faulted")
    ]
    composed += [f"flag.{flag}" for flag in FLAGS]
    composed += [f"age.{name}" for name in ("seconds", "minutes", "hours", "days", "never")]
    assert [key for key in composed if not texts.has(key)] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", [*REFUSALS, *CABINET_REASONS, *ACCOUNT_REASONS])
def test_every_reason_has_a_text_and_a_next_action(language: str, code: str) -> None:
    texts = catalogue(language)
    assert texts.has(f"reason.{code}")
    assert texts.reason(code, alarm="-") != texts.text("reason.unknown", code=code)
    assert texts.advice(code)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_unknown_reason_is_shown_with_its_code(language: str) -> None:
    texts = catalogue(language)
    assert "flux-capacitor" in texts.reason("flux-capacitor")
    assert texts.advice("flux-capacitor") == texts.text("advice.unknown")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_alarm_as_reason_names_it_and_sends_the_rider_away(language: str) -> None:
    texts = catalogue(language)
    assert texts.alarm("smoke") in texts.reason("smoke")
    assert texts.advice("smoke") == texts.text("advice.alarm")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", None),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,en;q=0.9", "en"),
        ("fr-FR,fr;q=0.9", None),
        ("fr,en;q=0.3,zh;q=0.7", "zh"),
        ("en;q=0,zh;q=0.1", "zh"),
        ("en;q=hot", None),
        ("zh-Hant-TW", "zh"),
        (";;;,,,", None),
    ],
)
def test_accept_language(header: str, language: str | None) -> None:
    assert accepted_language(header) == language


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [(None, "never reported"), (0, "0 s ago"), (59_999, "59 s ago"), (60_000, "1 min ago"),
     (3_600_000, "1 h ago"), (200_000_000, "2 d ago"), (-5, "0 s ago")],
)  # fmt: skip
def test_ages(age_ms: int | None, text: str) -> None:
    assert EN.age(age_ms) == text
