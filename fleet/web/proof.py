"""The password once more, before what would outlive a stolen session or a desk left alone.

A route says so by ``proven()`` in its ``dependencies``. Within some minutes of signing in, or of the
last time that it was asked, nothing is asked. Else the browser gets a form with what it sent in it, so
that nothing has to be typed again but the password, and the code where there is a second factor.
What only takes something away (an account off, a token revoked, a session ended) never waits for it.
Who has no password, since an identity provider vouches for him, signs in anew instead.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import Depends, Request
from starlette.responses import Response

from fleet.core.staff import SignInError
from fleet.errors import DeniedError, FleetError, LimitedError
from fleet.web import limits
from fleet.web.access import need_staff
from fleet.web.pages import OPS_CSS, explained, page, web_of
from fleet.web.signin import session_of, staff_port

HERE: Final = "/ops/me/prove"
PASSWORD_FIELD: Final = "proof_password"  # noqa: S105 - the name of a field
CODE_FIELD: Final = "proof_code"
TYPED_MAX: Final = 300


class ProofNeededError(DeniedError):
    """The password has to be given again; ``fields`` is the form that waits for it."""

    code = "prove"

    def __init__(
        self, action: str, fields: list[tuple[str, str]], mistake: FleetError | None = None
    ) -> None:
        super().__init__("the password has to be given again")
        self.action = action
        self.fields = fields
        self.mistake = mistake
        self.second_factor = False
        self.has_password = True


def proven() -> Any:
    """What a route declares that gives something lasting away."""
    return Depends(_prove)


async def _prove(request: Request) -> None:
    """Raise ProofNeededError, or DeniedError for a program, which has no password."""
    who, session = await need_staff(request), await session_of(request)
    if not session:
        raise DeniedError("this needs somebody who is signed in", code="role")
    staff = staff_port(request)
    if await staff.proven(session):
        return
    account = await staff.account(who.name)
    needed = await _sent(request)
    needed.second_factor, needed.has_password = account.second_factor, account.has_password
    form = await request.form() if request.method == "POST" else {}
    password, code = (str(form.get(each, ""))[:TYPED_MAX] for each in (PASSWORD_FIELD, CODE_FIELD))
    if not password:
        raise needed
    try:
        web = web_of(request)
        web.staff_throttle.spend(limits.PROOFS_PER_ACCOUNT, who.id, web.clock.monotonic_ms())
        await staff.prove(who.name, session, password, code.strip())
    except (SignInError, LimitedError) as error:
        needed.mistake = error
        raise needed from error


async def _sent(request: Request) -> ProofNeededError:
    """What the browser asked for, to be sent again with the password."""
    if request.method != "POST":
        onwards = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return ProofNeededError(HERE, [("next", onwards)])
    form = await request.form()
    fields = [
        (name, value)
        for name, value in form.multi_items()
        if isinstance(value, str) and name not in {PASSWORD_FIELD, CODE_FIELD}
    ]
    return ProofNeededError(request.url.path, fields)


def proof_page(request: Request, needed: ProofNeededError) -> Response:
    """The form that asks for the password."""
    texts, provider = web_of(request).catalogue(request), web_of(request).provider
    mistake = needed.mistake
    onwards = next((value for name, value in needed.fields if name == "next"), "/ops/me")
    return page(
        request,
        "ops_prove.html",
        status=mistake.status if mistake else needed.status,
        css=OPS_CSS,
        operator=True,
        p=needed,
        onwards=onwards,
        provider=provider.name if provider else "",
        notice=explained(texts, mistake) if mistake else None,
    )
