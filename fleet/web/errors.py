"""Errors as people and programs get them: a page with a way out, or ``{"error": {...}}``."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, urlsplit

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from fleet.errors import FleetError, InvalidError, LimitedError, NotFoundError
from fleet.web.pages import OPS_CSS, explained, page, safe_next, web_of
from fleet.web.proof import ProofNeededError, proof_page
from fleet.web.security import LoginRequiredError, refused_with
from fleet.web.signin import sign_in_page, signed_in

#: Where the phrase of a status is not the same in every version of Python.
_CODES: Final = {413: "too-large", 422: "invalid"}
LOG = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Put our error handlers into the application."""
    app.add_exception_handler(FleetError, _fleet_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def error_json(code: str, message: str, status: int) -> JSONResponse:
    """The one shape of an error in the API."""
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


async def _fleet_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FleetError)
    response = answer(request, error)
    if isinstance(error, LimitedError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def answer(request: Request, error: FleetError) -> Response:
    """An error as JSON where a program asked, and for a person as a page with a way out."""
    path = request.url.path
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        LOG.warning("%s %s: %s: %s", request.method, path, error.code, error)
    if path.startswith("/api/"):
        return error_json(error.code, str(error), error.status)
    texts = web_of(request).catalogue(request)
    reason, advice = explained(texts, error)
    if isinstance(error, LoginRequiredError):
        if path.startswith("/ops"):
            notice = None if request.method == "GET" else (reason, advice)
            onwards = str(request.url.replace(scheme="", netloc="")) if notice is None else "/ops"
            return sign_in_page(request, status=401, notice=notice, onwards=onwards)
        if request.method == "GET":
            return RedirectResponse(f"/login?next={quote(path)}", status_code=303)
    if isinstance(error, ProofNeededError):
        return proof_page(request, error)
    if path.startswith("/ops"):
        return page(
            request,
            "ops_error.html",
            status=error.status,
            css=OPS_CSS,
            operator=signed_in(request),
            reason=reason,
            advice_text=texts.text("console.lost") if error.code == "not-found" else advice,
            detail=str(error) if isinstance(error, InvalidError) else "",
        )
    return page(
        request,
        "error.html",
        status=error.status,
        reason=reason,
        advice_text=advice,
        code=error.code,
        path="/" if request.method != "GET" else path,
        back=_came_from(request),
    )


def _came_from(request: Request) -> str:
    """The page of ours that led here, to go back to; empty when it was none."""
    came = urlsplit(request.headers.get("referer", ""))
    path = safe_next(came.path + (f"?{came.query}" if came.query else ""))
    ours = came.netloc == request.headers.get("host")
    return path if ours and came.path not in ("/", request.url.path) else ""


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = "; ".join(
        f"{'.'.join(str(step) for step in each['loc'])}: {each['msg']}" for each in error.errors()
    )
    return answer(request, InvalidError(found))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return answer(request, NotFoundError(f"no {request.url.path}"))
    phrase = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    code = _CODES.get(error.status_code, phrase)
    response = answer(request, refused_with(error.status_code, code, str(error.detail)))
    response.headers.update(error.headers or {})
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    """The server logs the traceback; the caller learns nothing of our inside."""
    LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    trouble = refused_with(500, "internal", "something went wrong on our side")
    try:
        response = answer(request, trouble)
    except Exception:  # noqa: BLE001 - what spoilt the first page may spoil this one
        response = PlainTextResponse(f"{trouble} ({trouble.code})\n", status_code=500)
    # This answer does not pass by the wall that puts them on all others.
    response.headers.update(request.app.state.headers)
    return response
