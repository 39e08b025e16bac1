"""A client of the HTTP API."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from camlens.images import Image, encoded
from camlens.results import CamlensError, Explanation, Prediction


class Client:
    """Asks a camlens service. One connection stays open for each thread that uses it.

    Options that the methods don't name are those of the API, such as `layer`, `convention` or
    `max_channels`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        key: str | None = None,
        timeout: float = 300,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"'{url}' is no address such as http://127.0.0.1:8080")
        self._parts = parts
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._timeout = timeout
        self._local = threading.local()

    def explain(
        self,
        image: Image,
        *,
        method: str = "gradcam++",
        target: int | str | None = None,
        model: str | None = None,
        size: str = "layer",
        **options: Any,
    ) -> Explanation:
        """The map of one class, the predicted one unless `target` names another."""
        given = {
            "method": method,
            "target": target,
            "model": model,
            "size": size,
            **options,
        }
        if isinstance(target, (list, tuple)) or "," in str(target or ""):
            raise ValueError("explain gives one map; ask for each class by itself")
        return Explanation.of(self._image("/v1/explain", image, {**given, "output": "json"}))

    def predict(
        self, image: Image, *, top_k: int = 5, model: str | None = None
    ) -> list[Prediction]:
        """The most probable classes."""
        body = self._image("/v1/predict", image, {"top_k": top_k, "model": model})
        return [Prediction.of(one) for one in body["predictions"]]

    def models(self) -> list[dict[str, Any]]:
        """The models of the service: `id`, `title`, `ready`, `status` and more."""
        return self._json("GET", "/v1/models")["details"]

    def model(self, id: str) -> dict[str, Any]:
        """A model with its layers and methods."""
        return self._json("GET", f"/v1/models/{quote(id, safe='')}")

    def close(self) -> None:
        """Closes this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _image(self, path: str, image: Image, options: dict[str, Any]) -> dict[str, Any]:
        given = {name: _text(value) for name, value in options.items() if value is not None}
        return self._json("POST", f"{path}?{urlencode(given)}", encoded(image))

    def _json(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"accept": "application/json", **self._headers}
        if body is not None:
            headers["content-type"] = "application/octet-stream"
        status, answer = self._send(method, self._parts.path.rstrip("/") + path, body, headers)
        try:
            found = json.loads(answer)
        except ValueError:
            raise CamlensError(
                f"the response is no JSON: {answer[:200]!r}", status=status
            ) from None
        if status >= 400:
            slug = str(found.get("type", "")).rpartition("problem-")[2] or None
            raise CamlensError(
                found.get("detail") or found.get("title") or f"status {status}",
                type=slug,
                status=status,
            )
        return found

    def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        is_kept = getattr(self._local, "connection", None) is not None
        try:
            connection = self._connection()
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (http.client.HTTPException, ConnectionError) as error:
            self.close()
            # A connection that was idle may have been closed by the other side. Requests change
            # nothing, so that one may be sent again.
            if is_kept:
                return self._send(method, path, body, headers)
            raise self._unreachable(error) from error
        except OSError as error:
            self.close()
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> CamlensError:
        return CamlensError(
            f"no response from {self._parts.netloc}: {error or type(error).__name__}"
        )

    def _connection(self) -> http.client.HTTPConnection:
        if getattr(self._local, "connection", None) is None:
            kind = {
                "http": http.client.HTTPConnection,
                "https": http.client.HTTPSConnection,
            }
            self._local.connection = kind[self._parts.scheme](
                self._parts.hostname, self._parts.port, timeout=self._timeout
            )
        return self._local.connection


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
