"""What every page needs: the ports, the texts, the templates, and the parts of live pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from fleet.core.partners import COLOUR
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS
from fleet.errors import FleetError, LimitedError
from fleet.ports import (
    Accounts,
    Balance,
    Cabinets,
    Clock,
    Membership,
    Offline,
    Operations,
    Reports,
    Reservations,
    Riders,
    SmsSender,
    Sockets,
    Stations,
    Steering,
    Swaps,
)
from fleet.ports_access import Provider, Staff
from fleet.ports_charts import Charts
from fleet.ports_console import Console, Records
from fleet.ports_orders import Asks, Quarantines, Rollouts
from fleet.ports_views import SavedViews
from fleet.web import i18n, vendor
from fleet.web.config import WebConfig
from fleet.web.drawing import LOOKS, Door, Drawing
from fleet.web.i18n import Catalogue
from fleet.web.limits import Once, Replies, Throttle
from fleet.web.menu import menu_values
from fleet.web.present import slot_of_holder
from fleet.web.refusal import refusal_of
from fleet.web.sse import Streams

FOLDER: Final = Path(__file__).parent
NEXT_LENGTH_MAX: Final = 200
BRAND_COOKIE: Final = "yz_brand"
BRAND_CHARS_MAX: Final = 1_000
NO_BRAND: Final[Mapping[str, str]] = {"name": "", "colour": "", "phone": ""}
CURRENCY_SIGNS: Final = {"CNY": "¥", "EUR": "€", "USD": "$"}
Part = dict[str, str]

#: The shape of a slot's state in a table of 14 by 14 units; the colour comes from the style.
_STATE_MARKS: Final = {
    "full": '<circle cx="7" cy="7" r="6" fill="currentColor"/>',
    "charging": '<path d="M8 1 3 8h3.5L6 13l5-7H7.5z" fill="currentColor"/>',
    "empty": '<circle cx="7" cy="7" r="5.5" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2"/>',
    "busy": '<rect x="2" y="2" width="10" height="10" fill="none" stroke="currentColor" stroke-width="3"/>',
    "off": '<path d="m2 2 10 10m0-10L2 12" stroke="currentColor" stroke-width="2.5"/>',
    "unknown": '<path d="M3 7h8" stroke="currentColor" stroke-width="2.5"/>',
}


@dataclass(frozen=True, slots=True)
class Static:
    """A file with its content's hash in its name, so that it may be kept forever."""

    url: str
    body: bytes
    media_type: str


def _static(name: str, media_type: str, body: bytes | None = None) -> Static:
    body = (FOLDER / "static" / name).read_bytes() if body is None else body
    stem, _, suffix = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Static(f"/static/{stem}.{digest}.{suffix}", body, media_type)


def _service_worker(urls: list[str]) -> str:
    """Its text changes with the files that it keeps, so that phones fetch them anew."""
    text = (FOLDER / "static" / "sw.js").read_text(encoding="utf-8")
    cache = "yz-" + hashlib.sha256("".join(urls).encode()).hexdigest()[:12]
    return text.replace("__CACHE__", cache).replace("__FILES__", json.dumps(urls))


SCRIPT: Final = _static("yz.mjs", "text/javascript")
OFFLINE_SCRIPT: Final = _static("offline.mjs", "text/javascript")
FIND_SCRIPT: Final = _static("find.mjs", "text/javascript")
PHOTO_SCRIPT: Final = _static("photo.mjs", "text/javascript")
#: Fetched only by browsers that cannot read codes themselves.
QR_WORKER: Final = _static("qr-worker.js", "text/javascript", vendor.qr_worker())
OPS_SCRIPT: Final = _static("ops.mjs", "text/javascript")
MAP_SCRIPT: Final = _static("map.mjs", "text/javascript")
ICON: Final = _static("icon.svg", "image/svg+xml")
STATIC: Final = (
    SCRIPT, OFFLINE_SCRIPT, FIND_SCRIPT, PHOTO_SCRIPT, QR_WORKER, OPS_SCRIPT, MAP_SCRIPT, ICON,
)  # fmt: skip
SERVICE_WORKER: Final = _service_worker([SCRIPT.url, OFFLINE_SCRIPT.url, ICON.url])
RIDER_CSS: Final = (FOLDER / "static" / "rider.css").read_text(encoding="utf-8")
OPS_CSS: Final = (FOLDER / "static" / "ops.css").read_text(encoding="utf-8")
TEMPLATES: Final = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Web:
    """The collaborators of all pages."""

    swaps: Swaps
    cabinets: Cabinets
    riders: Riders
    offline: Offline
    operations: Operations
    reservations: Reservations
    accounts: Accounts
    clock: Clock
    sms: SmsSender
    config: WebConfig
    streams: Streams
    metrics_text: Callable[[], bytes]
    checks: Mapping[str, Callable[[], Awaitable[bool]]]
    steering: Steering
    console: Console
    records: Records
    balance: Balance | None = None
    sockets: Sockets | None = None
    stations: Stations | None = None
    reports: Reports | None = None
    membership: Membership | None = None
    charts: Charts | None = None
    asks: Asks | None = None
    quarantines: Quarantines | None = None
    rollouts: Rollouts | None = None
    staff: Staff | None = None
    provider: Provider | None = None
    views: SavedViews | None = None
    throttle: Throttle = field(default_factory=Throttle)
    #: Apart from that of riders, whose many addresses must not push a guesser's count out.
    staff_throttle: Throttle = field(default_factory=Throttle)
    once: Once = field(default_factory=Once)
    replies: Replies = field(default_factory=Replies)

    def catalogue(self, request: HTTPConnection) -> Catalogue:
        """The texts in the reader's language."""
        return i18n.catalogue(i18n.language_of(request, self.config.locale))


def web_of(request: HTTPConnection) -> Web:
    """The collaborators of the application that serves this request."""
    web: Web = request.app.state.web
    return web


def page(
    request: HTTPConnection,
    template: str,
    *,
    status: int = 200,
    css: str = RIDER_CSS,
    js_urls: Sequence[str] = (),
    **values: Any,
) -> HTMLResponse:
    """A whole page in the reader's language and type; ``?lang`` and ``?type`` are remembered."""
    web = web_of(request)
    texts = web.catalogue(request)
    other = next(each for each in i18n.LANGUAGES if each != texts.language)
    large = i18n.is_large(request)
    bad = refusal_of(request)
    status = bad.status if bad.form and status == HTTPStatus.OK else status
    html = TEMPLATES.get_template(template).render(
        **helpers(texts, web.config),
        bad=bad,
        html_lang=i18n.HTML_LANG[texts.language],
        other_html_lang=i18n.HTML_LANG[other],
        other_lang_url=_with(request, "lang", other),
        large=large,
        brand=brand_of(request),
        other_type_url=_with(request, "type", "normal" if large else "large"),
        css=Markup(css),  # noqa: S704 - our own file, named in the policy by its hash
        js_url=SCRIPT.url,
        ops_js_url=OPS_SCRIPT.url,
        has=_parts(web),
        **menu_values(request, _parts(web)),
        js_urls=js_urls,
        icon_url=ICON.url,
        **values,
    )
    # The browser asks for the scripts before it has read the page: a tenth of a second on a weak net.
    scripts = ", ".join(f"<{url}>; rel=modulepreload" for url in (SCRIPT.url, *js_urls))
    headers = {"Vary": "Accept-Language, Cookie", "Link": scripts}
    response = HTMLResponse(html, status_code=status, headers=headers)
    for name, cookie, known in i18n.CHOICES:
        if (chosen := request.query_params.get(name)) in known:
            response.set_cookie(
                cookie,
                chosen or "",
                max_age=i18n.LANG_COOKIE_AGE_S,
                secure=web.config.secure,
                httponly=True,
                samesite="lax",
            )
    return response


def _parts(web: Web) -> Mapping[str, bool]:
    """What this fleet has besides cabinets, swaps and riders."""
    return {
        "balance": web.balance is not None,
        "area": web.stations is not None,
        "desk": web.charts is not None,
        "reports": web.reports is not None,
        "staff": web.staff is not None,
        "rollouts": web.rollouts is not None,
    }


def brand_of(request: HTTPConnection) -> Mapping[str, str]:
    """The platform by whose link the reader came; empty without one, or when it is not as we set it."""
    text = request.cookies.get(BRAND_COOKIE, "")
    try:
        found = json.loads(bytes.fromhex(text)) if 0 < len(text) <= BRAND_CHARS_MAX else {}
        name, colour, phone = (str(found[key]) for key in ("name", "colour", "phone"))
    except (ValueError, KeyError, TypeError):
        return NO_BRAND
    return {
        "name": name[:60],
        "colour": colour if COLOUR.fullmatch(colour) else "",
        "phone": phone[:32],
    }


def _with(request: HTTPConnection, name: str, value: str) -> str:
    """The same page with one parameter set; what asks for something else is left out."""
    here, _, own = refusal_of(request).here.partition("?")
    given = parse_qsl(own) if here else request.query_params.items()
    query = {key: old for key, old in given if key not in ("lang", "type")}
    return f"{here}?{urlencode({**query, name: value})}"


def part(texts: Catalogue, config: WebConfig, template: str, **values: Any) -> Part:
    """A piece of a live page; ``v`` changes when the piece does."""
    html = TEMPLATES.get_template(template).render(**helpers(texts, config), **values)
    return {"v": hashlib.sha256(html.encode()).hexdigest()[:12], "html": html}


def in_page(piece: Part) -> dict[str, Any]:
    """A part, ready to stand in a template."""
    return {"v": piece["v"], "html": Markup(piece["html"])}  # noqa: S704 - rendered with escaping


def explained(texts: Catalogue, error: FleetError) -> tuple[str, str]:
    """An error as its reason and what to do about it."""
    wait = error.retry_after_s if isinstance(error, LimitedError) else 0
    return texts.reason(error.code, wait=wait), texts.advice(error.code)


def safe_next(path: str) -> str:
    """A path of ours to go on to, or the first page: never another site."""
    plain = path.isprintable() and "\\" not in path and len(path) <= NEXT_LENGTH_MAX
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"


def helpers(texts: Catalogue, config: WebConfig) -> Mapping[str, Any]:
    """The functions that templates may call."""
    return _helpers(texts.language, config)


@lru_cache(maxsize=8)
def _helpers(language: str, config: WebConfig) -> Mapping[str, Any]:
    texts = i18n.catalogue(language)
    return {
        "language": texts.language,
        "t": texts.text,
        "age": texts.age,
        "alarm": texts.alarm,
        "advice": texts.advice,
        "reason_text": texts.reason,
        "action_text": partial(_action_text, texts),
        "distance": partial(_distance, texts),
        "door_title": partial(_door_title, texts),
        "picture_summary": partial(_picture_summary, texts),
        "soc_text": partial(_soc_text, texts),
        "duration_text": partial(_duration_text, texts),
        "when_text": partial(_when_text, ZoneInfo(config.timezone)),
        "time_text": partial(_time_text, ZoneInfo(config.timezone)),
        "second_text": partial(_second_text, ZoneInfo(config.timezone)),
        "price": _price,
        "hour_text": partial(_hour_text, ZoneInfo(config.timezone)),
        "clock_text": _clock_text,
        "num": _number,
        "money": _money,
        "slot_of": slot_of_holder,
        "place_text": partial(_place_text, texts),
        "named": partial(_named, texts),
        "state_mark": _state_mark,
        "looks": LOOKS,
        "stale_ms": TELEMETRY_AGE_MAX_MS,
        "support_phone": config.support_phone,
    }


def _door_title(texts: Catalogue, door: Door) -> str:
    word = texts.text(f"look.{door.look}")
    if door.soc_pct is None:
        return texts.text("picture.door", slot=door.slot, word=word)
    return texts.text("picture.door-soc", slot=door.slot, word=word, soc=door.soc_pct)


def _picture_summary(texts: Catalogue, drawing: Drawing) -> str:
    looks = [door.look for door in drawing.doors]
    return texts.text(
        "picture.summary",
        slots=len(looks),
        full=looks.count("full"),
        empty=looks.count("empty"),
    )


def _action_text(texts: Catalogue, action: str) -> str:
    """What was ordered: the order, with its alarm; a technician's start by its kind."""
    type_, _, more = action.partition(":")
    if texts.has(f"order.{type_}"):
        what = texts.text(f"order.{type_}")
        return f"{what}: {texts.alarm(more)}" if more else what
    return texts.text(f"order.{more}") if texts.has(f"order.{more}") else action


def _place_text(texts: Catalogue, holder: str) -> str:
    """Who or what holds a pack, in words."""
    kind, _, name = holder.partition(":")
    if kind == "slot":
        cabinet, _, slot = name.rpartition(":")
        return texts.text("console.at-slot", cabinet=cabinet, n=slot)
    word = _named(texts, "desk.place", kind)
    return texts.text("console.at-place", kind=word, name=name) if name else word


def _named(texts: Catalogue, family: str, code: str) -> str:
    """The text of a code out of a family of texts; a code without one is shown as it is."""
    key = f"{family}-{code}" if family.startswith(("console", "desk")) else f"{family}.{code}"
    return texts.text(key) if texts.has(key) else code


def _distance(texts: Catalogue, distance_m: int) -> str:
    if distance_m < 1_000:
        return texts.text("cabinet.metres", n=distance_m)
    return texts.text("cabinet.kilometres", n=f"{distance_m / 1_000:.1f}")


def _soc_text(texts: Catalogue, soc_pct: int | None) -> str:
    """The charge at a hand-over, or that nobody knows it."""
    if soc_pct is None:
        return texts.text("swap.soc-unknown")
    return texts.text("swap.soc", soc=soc_pct)


def _duration_text(texts: Catalogue, duration_ms: int) -> str:
    minutes, seconds = divmod(max(0, duration_ms) // 1_000, 60)
    if minutes:
        return texts.text("swap.duration-m", m=minutes, s=seconds)
    return texts.text("swap.duration-s", n=seconds)


def _when_text(zone: ZoneInfo, wall_ms: int) -> str:
    return f"{datetime.fromtimestamp(wall_ms / 1_000, UTC).astimezone(zone):%Y-%m-%d %H:%M}"


def _time_text(zone: ZoneInfo, wall_ms: int) -> str:
    return f"{datetime.fromtimestamp(wall_ms / 1_000, UTC).astimezone(zone):%H:%M}"


def _second_text(zone: ZoneInfo, wall_ms: int) -> str:
    return f"{datetime.fromtimestamp(wall_ms / 1_000, UTC).astimezone(zone):%H:%M:%S}"


def _price(amount_minor: int, currency: str) -> str:
    sign = CURRENCY_SIGNS.get(currency, currency + " ")
    return f"{sign}{amount_minor // 100}.{amount_minor % 100:02d}"


def _hour_text(zone: ZoneInfo, wall_ms: int) -> str:
    return f"{datetime.fromtimestamp(wall_ms / 1_000, UTC).astimezone(zone):%H}"


def _clock_text(left_s: int) -> str:
    return f"{left_s // 60}:{left_s % 60:02d}"


def _number(value: float | None, digits: int, unit: str) -> str:
    return "–" if value is None else f"{value:.{digits}f} {unit}"


def _money(minor: int) -> str:
    return f"¥{minor / 100:.2f}"


def _state_mark(look: str) -> Markup:
    return Markup(_STATE_MARKS[look])  # noqa: S704 - a constant of this module
