"""Explains a folder of pictures with Ray Data: python explain.py IN OUT MODEL"""

import sys

import ray
from camlens.ray import Explainer

pictures, out, model = sys.argv[1:]
images = ray.data.read_binary_files(pictures, include_paths=True)
maps = images.map_batches(
    Explainer,
    fn_constructor_kwargs={"model": model, "column": "bytes"},
    batch_format="pyarrow",
    batch_size=32,
    # An actor for each two cores of the workers, as many as there are.
    concurrency=(1, 64),
    num_cpus=2,
)
maps.write_parquet(out)
