"""Request one HTTP response at a time, within limits of size and time.

httpx limits the silence between two reads, but not the time of a whole response. A server that sends one byte per second, in the
body, the headers or interim responses, keeps it waiting for hours. httpx also decompresses any amount of data that gzip expands to.
Therefore the request runs as a coroutine, which a timeout can end at any point, and this module decompresses the body in pieces.
"""

import asyncio
import logging
import os
import ssl
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

# A page of 500 sessions with their messages has about 10 MiB. As Python objects, JSON takes up to 25 times its size.
MAX_BODY_BYTES = 64 * 1024 * 1024
# Botmaker needs a while for such a page, and longer in a long-term search. It may be silent for this long.
_SILENCE_TIMEOUT = httpx.Timeout(120.0, connect=20.0)
# The time of silence, and of 10 MiB of uncompressed data at 1.5 Mbit/s.
RESPONSE_SECONDS = 180.0
_PIECE_BYTES = 256 * 1024
_GZIP = zlib.MAX_WBITS | 16

# httpx logs the URL of each request, and httpcore the headers of each response. Botmaker may repeat the token in both.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class ResponseTooLargeError(Exception):
    """The body is larger than `MAX_BODY_BYTES`, as sent or decompressed; the message is a predicate without a subject."""


class ResponseTooSlowError(Exception):
    """The response was not complete after `RESPONSE_SECONDS`; the message is a predicate without a subject."""


@dataclass(frozen=True)
class Response:
    """A complete response; `body` is decompressed."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)


class Transport:
    """An HTTP client with one method. It follows no redirects, because httpx would send our headers to the other host, too."""

    def __init__(self, headers: Mapping[str, str], *, trust_env: bool) -> None:
        self._runner = asyncio.Runner()
        self._http = httpx.AsyncClient(
            # Only gzip, because it is the one encoding that `_body` decompresses within limits.
            headers={"accept-encoding": "gzip", **headers},
            # The API needs no cookies. If large ones were sent back, it would refuse every later request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            timeout=_SILENCE_TIMEOUT,
            trust_env=trust_env,
            verify=_tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
        )

    def close(self) -> None:
        with self._runner:
            self._runner.run(self._http.aclose())

    def get(self, url: str) -> Response:
        """Return the response to a GET request.

        Raises `ResponseTooLargeError`, `ResponseTooSlowError` and the errors of httpx, with `DecodingError` for broken gzip.
        """
        return self._runner.run(self._get(url))

    async def _get(self, url: str) -> Response:
        try:
            async with asyncio.timeout(RESPONSE_SECONDS), self._http.stream("GET", url) as response:
                return Response(response.status_code, response.headers, await _body(response))
        except TimeoutError:
            raise ResponseTooSlowError(f"was not complete after {RESPONSE_SECONDS:g} seconds") from None


@cache
def _tls_context(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Return the TLS context with the trusted certificates.

    It is cached for the variables of OpenSSL that httpx follows, because creating it takes 50 ms of CPU.
    """
    tls = httpx.create_ssl_context()
    # Also trust the machine's certificates, such as that of a company proxy.
    tls.load_default_certs()
    return tls


async def _body(response: httpx.Response) -> bytes:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise httpx.DecodingError("the body has an encoding that was not requested")
    unpacker = _Unpacker() if encoding == "gzip" else None
    body, received = bytearray(), 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        for piece in unpacker.pieces(chunk) if unpacker else (chunk,):
            body += piece
            if max(received, len(body)) > MAX_BODY_BYTES:
                raise ResponseTooLargeError(f"has more than {MAX_BODY_BYTES / 2**20:g} MiB")
    if unpacker and received and not unpacker.is_complete:
        raise httpx.DecodingError("the gzip data is truncated")
    return bytes(body)


class _Unpacker:
    """Decompresses gzip, with any number of members, into pieces of limited size."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)

    @property
    def is_complete(self) -> bool:
        return self._member.eof

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        while packed:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            try:
                piece = self._member.decompress(packed, _PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from None
            packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            yield piece
