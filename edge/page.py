"""The web chat's files, read once, and the headers that keep the page to itself."""

import mimetypes
from hashlib import sha256
from pathlib import Path

from litestar.types import ASGIApp

from edge.problems import refuse
from edge.replies import BytesReply, EmptyReply
from edge.routes import AnyRequest, Route

_NOT_BUILT = (
    b"<!doctype html><title>Parley</title><p>The web page is not built:"
    b" <code>make run</code> builds it. The API is described at <a href=/docs>/docs</a>.</p>"
)
HTML = "text/html; charset=utf-8"
_IMMUTABLE = b"public, max-age=31536000, immutable"
REVALIDATE = b"no-cache"

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none';"
        b" base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


class PageFile:
    """A file in memory with its entity tag."""

    __slots__ = ("body", "etag", "headers", "media_type")

    def __init__(self, body: bytes, media_type: str, cache: bytes) -> None:
        self.body = body
        self.media_type = media_type.encode()
        self.etag = b'"%s"' % sha256(body).hexdigest()[:32].encode()
        self.headers = ((b"cache-control", cache), (b"etag", self.etag))

    def answer(self, request: AnyRequest) -> ASGIApp:
        """Return the file, or 304 to who has it (RFC 9110, 13.1.2)."""
        if self.etag in etags(request.headers.get("if-none-match", "")):
            return EmptyReply(304, headers=self.headers)
        return BytesReply(self.body, media_type=self.media_type, headers=self.headers)


def etags(header: str) -> list[bytes]:
    """Return the entity tags of an If-None-Match, compared weakly: `W/` changes nothing."""
    return [each.strip().removeprefix("W/").encode() for each in header.split(",")]


class Page:
    """Serves the built page. Its files are few and small, so they are kept in memory, and no
    path of a request ever touches the disk. Files in `assets/` carry a hash in their name and
    never change."""

    def __init__(self, directory: Path) -> None:
        self._files = _load(directory)

    def routes(self) -> list[Route]:
        """Return what this room answers."""
        roots = [name for name in self._files if "/" not in name and name != "index.html"]
        return [
            Route("GET", "/", self.index, "The web chat", public=True),
            Route("GET", "/assets/{name:path}", self.asset, "Its parts", public=True, shown=False),
            *(
                Route("GET", f"/{name}", self.root_file, "Its parts", public=True, shown=False)
                for name in roots
            ),
        ]

    async def index(self, request: AnyRequest) -> ASGIApp:
        """GET /."""
        return self._serve(request, "index.html")

    async def asset(self, request: AnyRequest) -> ASGIApp:
        """GET /assets/…."""
        return self._serve(request, "assets" + str(request.path_params["name"]))

    async def root_file(self, request: AnyRequest) -> ASGIApp:
        """GET one of the files beside the index."""
        return self._serve(request, request.scope["path"].strip("/"))

    def _serve(self, request: AnyRequest, name: str) -> ASGIApp:
        file = self._files.get(name)
        if file is None:
            raise refuse("not_found", "There is no such file.")
        return file.answer(request)


def _load(directory: Path) -> dict[str, PageFile]:
    files: dict[str, PageFile] = {}
    for path in sorted(directory.rglob("*")) if directory.is_dir() else ():
        if not path.is_file() or path.name.startswith("."):
            continue
        name = path.relative_to(directory).as_posix()
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        media_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
        cache = _IMMUTABLE if name.startswith("assets/") else REVALIDATE
        files[name] = PageFile(path.read_bytes(), media_type, cache)
    files.setdefault("index.html", PageFile(_NOT_BUILT, HTML, REVALIDATE))
    return files
