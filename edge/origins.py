"""Requests that another site's page made its visitor's browser send."""

from typing import Any

from litestar import Request

from edge.problems import refuse


def refuse_other_site(request: Request[Any, Any, Any]) -> None:
    """Return if the request comes from Parley's own page or from no page at all.

    A browser names the site (`Sec-Fetch-Site`, Fetch Metadata) and the origin of every request
    that can change something; other clients send neither. Raises Refused (403).
    """
    site = request.headers.get("sec-fetch-site", "none")
    origin = request.headers.get("origin")
    own = origin is None or origin.partition("://")[2] == request.headers.get("host")
    if not own or site not in ("same-origin", "none"):
        raise refuse("forbidden", "This must come from Parley's own page.")
