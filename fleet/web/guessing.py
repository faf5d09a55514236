"""How often a password may be tried: so seldom that guessing is hopeless, and nobody is locked out by it.

A lock by name alone stops guesses, but anybody can lock the operator out at three in the morning with
ten wrong passwords; a lock by address alone stops nobody who has many. So there are two kinds of
tries (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"):

* From a browser in which this account signed in before, which it shows by a sealed mark, or with one
  of the account's recovery codes in the code's field: counted by itself, ``KNOWN_PER_DEVICE``. No
  guesser spends from that, and no guesser can make a mark: it comes with a sign-in only, is sealed
  under a key outside the database, and ends with the password that it came with.
* All others: by name and network together, and by name over all networks.

The arithmetic. From one network (an IPv4 address, a /64 of IPv6) a name bears 10 tries in 15 minutes
and 30 a day; ten networks are needed to use up a name's 300 of a day, which is at most 110,000 a year,
however many networks there are. ASVS 2.2.1 bears 100 an hour, eight times as many. A password that is
drawn of ten lower-case letters (26**10, 1.4e14) is met by them in 640 million years; of the million
most common passwords most are shorter than the ten characters that we ask for, and whoever chose one
of the rest has the second factor: three codes in a million are right at a time, each works once, and
it takes the right password to try one. A device that was stolen together with its mark adds
10 tries in 15 minutes until the password is changed.

When a name's day is used up, its owner comes in from a browser that he used before, by a recovery
code from any browser, by an identity provider, or by a one-time link of an administrator or of
``fleetd staff link``; none of these is counted here. Only a new browser without any of them waits.

All of it is bounded in memory: a name is counted in one of ``SLOTS`` places, which nobody can choose
as the place is drawn with a secret of this process, so other names can't push its count out; and
whoever asks for names as fast as ``SIGN_INS_IN_ALL`` bears puts 29 a day into each place, a tenth of
what would lock it. A name that is nobody's is counted just as one that is somebody's. A restart of
fleetd forgets the counts, and each fleetd has its own: who can restart it needs no password.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fleet.core.staff import DEVICE_LIFE_MS
from fleet.errors import LimitedError
from fleet.web import limits
from fleet.web.pages import web_of
from fleet.web.sessions import address, cookie_name
from fleet.web.signin import staff_port

DEVICE_COOKIE: Final = "yz_known"
DEVICES_MAX: Final = 5  # accounts that share one browser, as at a depot's desk
MARK_CHARS_MAX: Final = 120
SLOTS: Final = limits.KEYS_MAX
_SECRET: Final = secrets.token_bytes(32)
_BETWEEN: Final = "."


class SignInLimitedError(LimitedError):
    """Too many tries for one name by browsers that it is not known in."""

    code = "sign-in-limited"


async def spend_sign_in(request: Request, name: str, code: str) -> None:
    """Count a try for this name; raise LimitedError when that is one too many."""
    web, now_ms = web_of(request), web_of(request).clock.monotonic_ms()
    spend = web.staff_throttle.spend
    known = await staff_port(request).known_device(name, _marks(request), code)
    if known is not None:
        spend(limits.KNOWN_IN_ALL, "", now_ms)
        spend(limits.KNOWN_PER_DEVICE, known, now_ms)
        return
    here, place = address(request), slot_of(name)
    spend(limits.SIGN_INS_PER_ADDRESS, here, now_ms)
    spend(limits.SIGN_INS_IN_ALL, "", now_ms)
    try:
        spend(limits.NAME_AND_ADDRESS, f"{place} {here}", now_ms)
        spend(limits.NAME_AND_ADDRESS_DAY, f"{place} {here}", now_ms)
        spend(limits.NAME_DAY, place, now_ms)
    except LimitedError as error:
        raise SignInLimitedError(str(error), retry_after_s=error.retry_after_s) from error


def slot_of(name: str) -> str:
    """Where tries for a name are counted."""
    drawn = hashlib.blake2b(name.lower().encode("utf-8", "replace"), key=_SECRET, digest_size=8)
    return str(int.from_bytes(drawn.digest(), "big") % SLOTS)


async def remember_device(request: Request, response: Response, name: str) -> None:
    """Mark the browser in which the account of this name has just signed in."""
    web = web_of(request)
    mark = await staff_port(request).new_device(name)
    if not mark:
        return
    kept = _BETWEEN.join([mark, *_marks(request)][:DEVICES_MAX])
    response.set_cookie(
        cookie_name(web, DEVICE_COOKIE),
        kept,
        max_age=DEVICE_LIFE_MS // 1_000,
        secure=web.config.secure,
        httponly=True,
        samesite="lax",
    )


def _marks(request: Request) -> list[str]:
    kept = request.cookies.get(cookie_name(web_of(request), DEVICE_COOKIE), "")
    found = kept[: DEVICES_MAX * (MARK_CHARS_MAX + 1)].split(_BETWEEN)
    return [each for each in found if each and each.isascii() and len(each) <= MARK_CHARS_MAX]
