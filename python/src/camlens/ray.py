"""A stage of Ray Data that explains images: each of its actors holds one engine.

    import ray
    from camlens.ray import Explainer

    images = ray.data.read_binary_files("photos/", include_paths=True)
    maps = images.map_batches(
        Explainer,
        fn_constructor_kwargs={"model": "model.onnx", "column": "bytes", "method": "layercam"},
        concurrency=4,
        num_cpus=2,
    )
    maps.write_parquet("maps/")

Ray distributes the batches, starts an actor again that was lost, and repeats its batch.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from camlens.engine import Engine
from camlens.results import CamlensError, Explanation

# What an image is refused for, which no repetition changes. Other errors are for Ray to repeat.
OF_THE_IMAGE = {
    "malformed-request",
    "body-too-large",
    "image-too-large",
    "over-budget",
    "unsupported-image",
    "corrupt-image",
    "not-a-number",
}


class Explainer:
    """Adds `map`, `target`, `label`, `probability`, `empty` and `error` to each row.

    `column` holds the images: bytes of image files, paths, or uint8 `[h, w, 3]`. It is left out of
    the result unless `keep_image`. `threads` are the engine's; by default those that Ray gave the
    actor (`num_cpus`). Other options are those of `camlens.Client.explain`.

    With `batch_format="numpy"`, Ray's default, `map` is `[N, h, w]`, or an array of arrays where
    sizes differ. With `"pyarrow"` it is a list of float32 with `height` and `width` beside it, as
    `camlens batch` writes it. An image that can't be explained has `error`, and a map without
    elements.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        column: str = "image",
        keep_image: bool = False,
        threads: int | None = None,
        settings: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.column, self.keep_image, self.options = column, keep_image, options
        threads = threads or given_cpus()
        self.engine = Engine(model, threads=threads, settings=settings)
        # While one image computes, another one is decoded.
        self.pool = ThreadPoolExecutor((threads or os.cpu_count() or 1) + 1)

    def __call__(self, batch: Any) -> Any:
        if isinstance(batch, dict):
            results = self._explained(batch[self.column])
            return self._numpy(batch, results)
        results = self._explained(batch.column(self.column).to_pylist())
        return self._arrow(batch, results)

    def _explained(self, images: Any) -> list[Explanation | str]:
        return list(self.pool.map(self._one, images))

    def _one(self, image: Any) -> Explanation | str:
        try:
            return self.engine.explain(image, **self.options)
        except CamlensError as error:
            if error.type not in OF_THE_IMAGE:
                raise
            return str(error)
        except (OSError, TypeError) as error:
            return str(error)

    def _facts(self, results: list[Explanation | str]) -> dict[str, list[Any]]:
        found = [None if isinstance(one, str) else one for one in results]
        return {
            "target": [one.target.index if one else None for one in found],
            "label": [one.target.label if one else None for one in found],
            "probability": [one.target.probability if one else None for one in found],
            "empty": [one.empty if one else None for one in found],
            "error": [one if isinstance(one, str) else None for one in results],
        }

    def _numpy(self, batch: dict[str, Any], results: list[Explanation | str]) -> dict[str, Any]:
        maps = [
            np.zeros((0, 0), np.float32) if isinstance(one, str) else one.map for one in results
        ]
        if len({one.shape for one in maps}) == 1:
            column = np.stack(maps)
        else:
            column = np.empty(len(maps), object)
            column[:] = maps
        kept = {n: v for n, v in batch.items() if self.keep_image or n != self.column}
        facts = self._facts(results)
        numbers = {
            "target": np.array([-1 if one is None else one for one in facts["target"]], np.int64),
            "label": np.array([one or "" for one in facts["label"]], object),
            "probability": np.array(
                [np.nan if one is None else one for one in facts["probability"]],
                np.float32,
            ),
            "empty": np.array([bool(one) for one in facts["empty"]]),
            "error": np.array([one or "" for one in facts["error"]], object),
        }
        return {**kept, "map": column, **numbers}

    def _arrow(self, batch: Any, results: list[Explanation | str]) -> Any:
        import pyarrow as pa

        table = batch if self.keep_image else batch.drop_columns([self.column])
        shapes = [(0, 0) if isinstance(one, str) else one.map.shape for one in results]
        values = [[] if isinstance(one, str) else one.map.ravel() for one in results]
        table = table.append_column("map", pa.array(values, pa.list_(pa.float32())))
        table = table.append_column("height", pa.array([h for h, _ in shapes], pa.int32()))
        table = table.append_column("width", pa.array([w for _, w in shapes], pa.int32()))
        types = {
            "target": pa.int32(),
            "label": pa.string(),
            "probability": pa.float32(),
            "empty": pa.bool_(),
            "error": pa.string(),
        }
        for name, column in self._facts(results).items():
            table = table.append_column(name, pa.array(column, types[name]))
        return table


def given_cpus() -> int | None:
    """The whole cores that Ray gave this actor, if this is one."""
    try:
        import ray
    except ImportError:
        return None
    if not ray.is_initialized():
        return None
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU")
    return max(int(cpus), 1) if cpus else None
