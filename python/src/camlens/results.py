"""What the service answers, as types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class CamlensError(Exception):
    """The service refused a request, or could not be reached.

    `type` is a name that never changes, such as `corrupt-image`, and `status` the HTTP status. Both
    are None if there was no response.
    """

    def __init__(self, detail: str, *, type: str | None = None, status: int | None = None) -> None:
        super().__init__(detail)
        self.type = type
        self.status = status


@dataclass(frozen=True)
class Prediction:
    """A class with its probability and logit; a quantity has a value instead."""

    index: int
    label: str | None = None
    probability: float | None = None
    logit: float | None = None
    value: float | None = None

    @classmethod
    def of(cls, found: dict[str, Any]) -> Prediction:
        return cls(**{name: found.get(name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Explanation:
    """A map with its context. `numpy.asarray` of it is the map."""

    map: NDArray[np.float32]
    """`[h, w]`, normalised as asked; all zeros if `empty`."""
    method: str
    layer: str
    target: Prediction
    predictions: list[Prediction]
    empty: bool
    warnings: list[dict[str, str]]
    model: str
    body: dict[str, Any] = field(repr=False)
    """The response as it came, without the numbers of the map."""

    @classmethod
    def of(cls, body: dict[str, Any]) -> Explanation:
        heatmap = dict(body["heatmap"])
        values = np.asarray(heatmap.pop("data"), np.float32).reshape(heatmap["shape"])
        return cls(
            map=values,
            method=body["method"],
            layer=body["layer"],
            target=Prediction.of(body["target"]),
            predictions=[Prediction.of(one) for one in body["predictions"]],
            empty=heatmap["empty"],
            warnings=body.get("warnings", []),
            model=body["model"],
            body={**body, "heatmap": heatmap},
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.map, dtype=dtype, copy=True if copy is None else copy)
