"""The route for Prometheus."""

from __future__ import annotations

from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.handlers.server import own_version
from yamcs_archive.http.readiness import not_ready
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply


def metrics(request: Request) -> Response:
    """Answer the metrics, as text or as OpenMetrics. They are for prometheus-client, which may be absent."""
    services = request.services
    try:
        # It is needed here alone, and takes some hundredths of a second to load.
        from yamcs_archive.http.collector import ArchiveCollector, Exposition  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("prometheus_client"):
            raise
        raise HttpError(
            501,
            "NotImplementedException",
            "metrics need the package prometheus-client, of the extra 'server': install it"
            " (python -m pip install prometheus-client) and restart the server",
        ) from None
    exposition = services.observation.collector
    if not isinstance(exposition, Exposition):
        # Two first scrapes may each make one; what is counted is not in it.
        exposition = services.observation.collector = Exposition(
            ArchiveCollector(
                services.archive,
                services.observation,
                lambda: not_ready(services.archive, services.refusals) is None,
                own_version(),
            )
        )
    media, body = exposition.write(request.head.headers.get("accept", ""))
    return reply(media, body)
