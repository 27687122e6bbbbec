"""``RemoteMonitor``: sends the logs of each epoch to a web server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from kcompile.callbacks.base import Callback
from kcompile.callbacks.history import as_number
from kcompile.common.errors import KCompileError, warn

_TIMEOUT_SECONDS = 10.0


class RemoteMonitor(Callback):
    """Posts the epoch's logs as JSON to ``root + path`` (Keras 2.3; uses urllib, not requests).

    A server that cannot be reached leads to a warning, never to an error.

    Args:
        root: address of the server, "http://..." or "https://...". path: added to it.
        field: name of the form field that holds the JSON. headers: extra HTTP headers.
        send_as_json: send the JSON as the body itself.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ):
        super().__init__()
        if not str(root).startswith(("http://", "https://")):
            raise KCompileError(f"RemoteMonitor: root must start with http:// or https://, got {root!r}.")
        self.root = root
        self.path = path
        self.field = field
        self.headers = dict(headers or {})
        self.send_as_json = bool(send_as_json)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        import urllib.error  # late: 35 ms that few programs need
        import urllib.parse  # late: as that
        import urllib.request  # late: as that

        message = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        text = json.dumps(message)
        if self.send_as_json:
            body, kind = text.encode(), "application/json"
        else:
            body = urllib.parse.urlencode({self.field: text}).encode()
            kind = "application/x-www-form-urlencoded"
        request = urllib.request.Request(
            self.root + self.path, data=body, headers={"Content-Type": kind} | self.headers
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                answer.read()
        except (urllib.error.URLError, OSError) as error:
            warn(
                f"RemoteMonitor: could not reach {self.root} ({error}); training goes on.",
            )


def _plain(value: Any) -> Any:
    value = as_number(value)
    return value.tolist() if isinstance(value, np.ndarray) else value
