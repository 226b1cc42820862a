"""Requests to a server: retried where that helps, with a token that only its own server sees."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from sarcore.errors import DataError
from sarcore.geo.raster import needs_geo

ATTEMPTS = 5
_REDIRECTS = 5
_LONGEST = 60.0  # seconds that a server may ask to wait
_BUSY = (429, 500, 502, 503, 504)
_MOVED = (301, 302, 303, 307, 308)
_LOCAL = ("localhost", "127.0.0.1", "::1")


class HTTPError(DataError):
    """A server's refusal; `status` is its number."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Connection:
    """Requests with a Bearer token for the servers of `origins` alone.

    >>> Connection(["https://a.org/api"], token="secret").may_know("https://b.org/file")
    False

    The token comes from an environment variable (`token_from`), is sent to no other host, scheme or port than those of
    `origins`, also after a redirect, and is in no message. Connections that fail, 429 and 5xx are tried `ATTEMPTS`
    times, with twice the wait each time, or the one that the server asks for.

    Args:
        origins: addresses of the servers that may see the token.
        token: the token, or None.
        token_name: environment variable that is named in messages.
        wait: seconds before the second attempt.
        timeout: seconds without an answer after which an attempt has failed.
    """

    def __init__(
        self,
        origins: Iterable[str] = (),
        *,
        token: str | None = None,
        token_name: str = "",
        wait: float = 1.0,
        timeout: float = 60.0,
    ) -> None:
        try:
            import requests
        except ImportError as error:
            raise needs_geo(error) from error
        if token is not None and not (token.isascii() and token.isprintable()):
            raise DataError(f"the token in {token_name} has characters that no token has; check the variable")
        self._origins = {_origin(url) for url in origins}
        self._token, self._name = token, token_name
        self._wait, self._timeout = wait, timeout
        self._session = requests.Session()
        self._session.auth = _no_netrc  # requests would send what ~/.netrc holds instead of the token

    def may_know(self, url: str) -> bool:
        """Whether the token is sent to that address: its own servers, and never unencrypted over a network."""
        parts = urlsplit(url)
        return _origin(url) in self._origins and (parts.scheme == "https" or parts.hostname in _LOCAL)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        allowed: tuple[int, ...] = (),
        stream: bool = False,
    ) -> Any:
        """The `requests.Response` of an address; `allowed` are the numbers of refusals to hand out, too.

        Raises:
            HTTPError: the server refuses; the sentence says what to do.
            DataError: no answer.
        """
        import requests

        trouble: DataError | None = None
        pause = self._wait
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(pause)
                pause = self._wait * 2**attempt
            try:
                answer = self._follow(method, url, params, json, headers or {}, stream)
            except requests.RequestException as error:
                trouble = DataError(f"no answer from {shown(url)}: {_reason(error)}; is the network there?")
                continue
            if answer.ok or answer.status_code in allowed:
                return answer
            trouble = self._refusal(answer, url)
            asked = answer.headers.get("Retry-After", "")
            answer.close()
            if answer.status_code not in _BUSY:
                break
            if asked.isdecimal():
                pause = min(float(asked), _LONGEST)
        assert trouble is not None
        raise trouble

    def json(self, url: str, params: Mapping[str, Any] | None = None) -> Any:
        """What an address answers as JSON; DataError where it is none."""
        answer = self.request("GET", url, params=params)
        try:
            return answer.json()
        except ValueError as error:
            raise DataError(f"{shown(url)} answered something that is no JSON; is the address right?") from error

    def _follow(self, method: str, url: str, params: Any, json: Any, headers: Mapping[str, str], stream: bool) -> Any:
        """One attempt, redirects followed by hand: at each the token is decided on anew."""
        from requests import RequestException, TooManyRedirects

        for _ in range(_REDIRECTS + 1):
            sent = dict(headers)
            if self._token is not None and self.may_know(url):
                sent["Authorization"] = f"Bearer {self._token}"
            try:
                answer = self._session.request(
                    method, url, params=params, json=json, headers=sent, stream=stream, timeout=self._timeout,
                    allow_redirects=False,
                )  # fmt: skip
            except RequestException:
                raise
            except ValueError as error:  # requests looks where a redirect leads although it shall not follow
                raise _nowhere(url) from error
            target = answer.headers.get("Location")
            if answer.status_code not in _MOVED or not target:
                return answer
            answer.close()
            if answer.status_code == 303:
                method, json = "GET", None
            url, params = _joined(url, target), None
        raise TooManyRedirects(f"more than {_REDIRECTS} redirects")

    def _refusal(self, answer: Any, url: str) -> HTTPError:
        status, place = answer.status_code, shown(url)
        token = f"the token in {self._name}" if self._name else "a token"
        asked = shown(answer.url)
        if status in (401, 403) and self._token is None:
            says = "wants a token" if status == 401 else "does not allow this without a token"
            text = f"{place} {says} ({status}); " + (f"set {self._name}" if self._name else "name its variable")
        elif status in (401, 403) and not self.may_know(answer.url):
            text = (
                f"{place} wants a token ({status}), and {token} was not sent: {asked} is another server, or not "
                "encrypted; fetch this file by the provider's own means"
            )
        elif status == 401:
            text = f"{place} does not accept {token} (401); is it complete, and still valid?"
        elif status == 403:
            text = f"{place} does not allow this with {token} (403); is the data open to its owner?"
        elif status == 404:
            text = f"{place} does not exist (404); check the address and the name"
        elif status in _BUSY:
            text = f"{place} answered {status} {ATTEMPTS} times; try again later"
        else:
            text = f"{place} answered {status} {answer.reason or ''}".rstrip() + "; check the address"
        return HTTPError(text, status)


def token_from(name: str, *, needed: bool = False) -> str | None:
    """The token in an environment variable.

    >>> token_from("SARCORE_NO_SUCH_TOKEN", needed=True)
    Traceback (most recent call last):
    sarcore.errors.DataError: a token is needed: put it into the environment variable SARCORE_NO_SUCH_TOKEN
    """
    token = os.environ.get(name, "").strip()
    if not token and needed:
        raise DataError(f"a token is needed: put it into the environment variable {name}")
    return token or None


def shown(url: str) -> str:
    """An address without user, password and query, which may hold secrets.

    >>> shown("https://me:secret@a.org:8080/b/c.tif?signature=1")
    'https://a.org:8080/b/c.tif'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def check_url(url: str) -> str:
    """An http or https address, or DataError."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # a bracket that is not closed, a port beyond 65535
        raise DataError(f"{url.rpartition('@')[2]!r} is no address of a web server: {error}") from error
    if not known:
        raise DataError(
            f"{shown(url) if parts.scheme else url!r} is no address of a web server; give one that begins with https://"
        )
    return url


def _joined(url: str, target: str) -> str:
    """Where a redirect leads."""
    try:
        return check_url(urljoin(url, target))
    except ValueError as error:
        raise _nowhere(url) from error


def _nowhere(url: str) -> DataError:
    return DataError(f"{shown(url)} redirects to what is no address; ask the provider")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _no_netrc(request: Any) -> Any:
    return request


def _reason(error: Exception) -> str:
    """What happened, without the address that requests' sentences hold."""
    names: Callable[[str], str] = {
        "ConnectTimeout": "connecting took too long",
        "ReadTimeout": "it took too long",
        "SSLError": "its certificate cannot be trusted",
        "TooManyRedirects": "it redirects in circles",
        "InvalidURL": "the address is none",
    }.get  # type: ignore[assignment]
    return names(type(error).__name__) or "the connection failed"
