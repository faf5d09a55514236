"""A form that was refused is shown again as it was typed, with what is wrong beside the field.

The handler of the form shows its page once more by ``again``; the page's template asks ``bad`` what was
typed and which field is at fault, by the macros of ``_form.html``. The field has the focus when the
page comes (``autofocus``), so no script is needed; where no field is at fault, as when the cabinet is
offline, the notice above has it, which is there in any case. Which field it is stands in the error.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from fleet.errors import FleetError, InvalidError, LimitedError

_KEY: Final = "yz_refusal"
_WORDS: Final = re.compile(r"[a-z_]+")
#: Fields that stand in the form under another name than in the error.
_CALLED: Final = {
    "soak_s": "soak_min",
    "staff": "name",
    "token": "name",
    "cabinets": "name",
    "limit_w": "limit_kw",
    "peak_price_per_kw": "peak_price",
    "shortfall_price_per_kwh": "shortfall_price",
    "lost_swap_price": "lost_price",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One form, refused; ``form`` is empty where none was."""

    form: str = ""
    here: str = ""  # the page's own address, which is not where the form was sent
    status: int = 200
    code: str = ""
    detail: str = ""  # for whoever knows what the field means; English
    wait_s: int = 0
    typed: Mapping[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()

    def value(self, form: str, name: str, otherwise: object = "") -> str:
        """What was typed into a field; ``otherwise`` where this form was not refused."""
        kept = self.typed.get(name, "") if form == self.form else otherwise
        return "" if kept is None else str(kept)

    def is_at(self, form: str, name: str) -> bool:
        """Whether this field is at fault."""
        return form == self.form and name in self.wrong

    def is_first(self, form: str, name: str) -> bool:
        """Whether it is the one that has the focus."""
        return form == self.form and self.wrong[:1] == (name,)


NONE: Final = Refusal()


def refusal_of(request: HTTPConnection) -> Refusal:
    """The refusal that this page answers; ``NONE``: it is asked for by itself."""
    found: Refusal = request.scope.get(_KEY, NONE)
    return found


async def again(  # noqa: PLR0917 - a form, refused
    request: Request,
    error: FleetError,
    form: str,
    typed: Mapping[str, str],
    here: str,
    shown: Awaitable[Response],
) -> Response:
    """The page of a form once more, with what was typed and why it was refused.

    ``shown`` is the page's own handler, not awaited yet; ``here`` is its address.
    """
    request.scope[_KEY] = Refusal(
        form=form,
        here=here,
        status=error.status,
        code=error.code,
        detail=str(error) if isinstance(error, InvalidError) else "",
        wait_s=error.retry_after_s if isinstance(error, LimitedError) else 0,
        typed=typed,
        wrong=fields_of(error, typed),
    )
    response = await shown
    if isinstance(error, LimitedError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def fields_of(error: FleetError, typed: Mapping[str, str]) -> tuple[str, ...]:
    """The fields that an error names, of those that were typed; in the order of the error."""
    if not isinstance(error, InvalidError):
        return ()
    found: dict[str, None] = {}
    for each in str(error).split("; "):
        head = each.partition(":")[0].partition("'")[0]
        for word in reversed(_WORDS.findall(head)):
            names = (word, _CALLED.get(word, ""), f"set.{word}")
            known = next((name for name in names if name in typed), None)
            if known is not None:
                found[known] = None
                break
    return tuple(found)
