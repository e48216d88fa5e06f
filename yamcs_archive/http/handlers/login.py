"""The routes of logging in: by password or refresh token for programs, by cookie for the page."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.permissions import Permission
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.access.presented import SESSION_COOKIE, Means, presented
from yamcs_archive.http.errors import HttpError, unauthorized
from yamcs_archive.http.handlers.retention import object_in
from yamcs_archive.http.media_types import media_type
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Headers, Pending, Response, Work
from yamcs_archive.wire.json_scalars import as_text
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

if TYPE_CHECKING:
    from yamcs_archive.http.access.authentication import Authentication, Pair  # needs the extra

_FORM = "application/x-www-form-urlencoded"
_FIELDS_MAX = 20
_NO_STORE = (("cache-control", "no-store"),)


def auth_info(request: Request) -> Response:
    """Answer whether a login is needed: the first question of ``yamcs login``."""
    needed = request.services.authentication is not None
    return request.answer(today.AuthInfo(requireAuthentication=needed))


def user_info(request: Request) -> Response:
    """Answer who the client is: as on a Yamcs server, without users a guest who may do everything."""
    return request.answer(_shown(request.caller))


def _shown(caller: Caller) -> today.UserInfo:
    message = today.UserInfo(
        superuser=caller.is_guest or all(map(caller.allows, Permission)),
        active=True,
        name=caller.name,
        displayName=caller.name,
    )
    if not caller.is_guest:
        grants = caller.rights.grants
        message.systemPrivileges.extend(dict.fromkeys(str(grant.permission) for grant in grants))
        message.permissions.extend(map(str, grants))
    return message


def create_token(request: Request) -> Response | Pending[Response]:
    """Answer new tokens for a password or for a refresh token, as a Yamcs server does."""
    authentication = _authentication(request)
    form = _form_of(request)
    grant = form.get("grant_type")
    if grant == "password":
        name, password = _given(form, "username"), _given(form, "password")
        found = authentication.with_password(name, password, request.head)
        return _when_known(found, lambda caller: _tokens(request, authentication.login(caller)))
    if grant == "refresh_token":
        pair = authentication.renewed(_given(form, "refresh_token"))
        if pair is None:
            raise unauthorized()
        return _tokens(request, pair)
    if grant == "client_credentials":
        return _client_token(request, authentication, form.get("become"))
    raise InvalidInputError("grant_type", grant, "must be one of password, refresh_token, client_credentials")


def _client_token(
    request: Request, authentication: Authentication, become: str | None
) -> Response | Pending[Response]:
    """Answer a token for who sends the request, by HTTP Basic, or for whom that user becomes."""
    given = presented(request.head.headers)
    if given is None or given.means is not Means.PASSWORD:
        raise unauthorized()

    def answered(caller: Caller) -> Response:
        pair = authentication.login(caller) if become is None else authentication.become(caller, become)
        return _tokens(request, pair)

    return _when_known(authentication.with_password(given.name, given.secret, request.head), answered)


def _tokens(request: Request, pair: Pair) -> Response:
    from yamcs_archive.access.login_tokens import ACCESS_S  # noqa: PLC0415  # needs the extra

    message = today.TokenResponse(
        accessToken=pair.access,
        tokenType="bearer",  # no secret
        expiresIn=ACCESS_S,
        refreshToken=pair.refresh,
        user=_shown(pair.caller),
    )
    response = request.answer(message)
    response.headers += _NO_STORE
    return response


def create_session(request: Request) -> Response | Pending[Response]:
    """Log the page in: a name and a password become a cookie that scripts cannot read."""
    authentication = _authentication(request)
    if media_type(request.head.headers) == _FORM:
        given: dict[str, str] = _form_of(request)
    else:
        body = object_in(request.body, ("username", "password"))
        given = {field: as_text(value, field) for field, value in body.items()}
    found = authentication.with_password(_given(given, "username"), _given(given, "password"), request.head)

    def answered(caller: Caller) -> Response:
        response = request.answer(_shown(caller))
        response.headers += (("set-cookie", _cookie(request, authentication.session(caller))), *_NO_STORE)
        return response

    return _when_known(found, answered)


def end_session(request: Request) -> Response:
    """Log the page out: the cookie counts no more, and the browser forgets it."""
    authentication = request.services.authentication
    given = presented({"cookie": request.head.headers.get("cookie", "")})
    if authentication is not None and given is not None and given.means is Means.SESSION:
        authentication.end_session(given.secret)
    headers: Headers = (("content-length", "0"), ("set-cookie", f"{_cookie(request, '')}; Max-Age=0"))
    return Response(204, headers[1:])


def _cookie(request: Request, value: str) -> str:
    own = request.services.own
    is_secure = own.is_secure or request.services.proxies.is_secure(request.head)
    parts = [f"{SESSION_COOKIE}={value}", f"Path={own.prefix or '/'}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if is_secure else parts)


def _authentication(request: Request) -> Authentication:
    if request.services.authentication is None:
        text = "this server has no users: send requests without a user and a password"
        raise HttpError(400, "BadRequestException", text)
    return request.services.authentication


def _form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form; of a repeated one the last value."""
    if media_type(request.head.headers) != _FORM:
        raise HttpError(400, "BadRequestException", f"the body must be a form: content-type {_FORM}")
    try:
        found = parse_qs(
            request.body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(request.body),
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise InvalidInputError("body", "…", "must be a form: fields as name=value, joined by &") from None
    return {name: values[-1] for name, values in found.items()}


def _given(form: dict[str, str], name: str) -> str:
    if name not in form:
        raise InvalidInputError(name, None, "must be given")
    return form[name]


def _when_known(
    found: Caller | Future[Caller], answered: Callable[[Caller], Response]
) -> Response | Pending[Response]:
    """Answer at once if the caller is known, else when its password was checked."""
    if not isinstance(found, Future):
        return answered(found)
    return Pending(found, lambda done: answered(done.result()), work=Work.QUICK)
