"""The Ray stage on a cluster of several nodes in this machine, of one core each."""

import collections
import io
import pathlib
import random
import tempfile
import threading
import time

import numpy as np
import ray
from camlens.ray import Explainer
from PIL import Image
from ray.cluster_utils import Cluster

from camlens_tools.paths import MODELS, ROOT

MODEL = MODELS / "efficientnet-lite0"
IMAGES = 240
BATCH = 8


class Watched(Explainer):
    """An explainer that leaves a file for each batch, so that the test sees it go on."""

    def __init__(self, marks, **options):
        super().__init__(**options)
        self.marks = pathlib.Path(marks)

    def __call__(self, batch):
        found = super().__call__(batch)
        (self.marks / f"{time.time_ns()}").touch()
        return found


def images():
    """Parts of a picture as JPEG files, and one that is none."""
    source = Image.open(ROOT / "web" / "samples" / "coffee.jpg").convert("RGB")
    chance = random.Random(3)
    rows = []
    for number in range(IMAGES):
        left, top = chance.randrange(source.width - 120), chance.randrange(source.height - 120)
        part = source.crop((left, top, left + 120, top + 120)).resize((224, 224))
        file = io.BytesIO()
        part.save(file, "JPEG")
        rows.append({"id": number, "bytes": file.getvalue()})
    rows[7]["bytes"] = b"no picture"
    return rows


def run(workers, during=None):
    """Explains all images with so many nodes beside the head; returns rows and seconds."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(workers)]
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
        with tempfile.TemporaryDirectory() as marks:
            dataset = ray.data.from_items(images(), override_num_blocks=IMAGES // BATCH)
            maps = dataset.map_batches(
                Watched,
                fn_constructor_kwargs={
                    "marks": marks,
                    "model": str(MODEL),
                    "column": "bytes",
                    "method": "gradcam",
                },
                batch_format="pyarrow",
                batch_size=BATCH,
                concurrency=workers,
                num_cpus=1,
            )
            watcher = None
            if during:
                arguments = (cluster, nodes, pathlib.Path(marks))
                watcher = threading.Thread(target=during, args=arguments)
                watcher.start()
            started = time.perf_counter()
            rows = maps.take_all()
            elapsed = time.perf_counter() - started
            if watcher:
                watcher.join()
            return rows, elapsed
    finally:
        ray.shutdown()
        cluster.shutdown()


def assert_each_once(rows):
    counts = collections.Counter(row["id"] for row in rows)
    assert set(counts) == set(range(IMAGES)), f"{len(counts)} images"
    assert max(counts.values()) == 1, counts.most_common(3)
    for row in rows:
        if row["id"] == 7:
            assert row["error"] and len(row["map"]) == 0 and row["target"] is None
        else:
            assert row["error"] is None, row["error"]
            assert len(row["map"]) == row["height"] * row["width"] == 49
            assert np.isclose(max(row["map"]), 1) or row["empty"]


def lose_a_node(cluster, nodes, marks):
    """Kills a node when a third of the batches are done."""
    while len(list(marks.iterdir())) < IMAGES // BATCH // 3:
        time.sleep(0.05)
    cluster.remove_node(nodes[0], allow_graceful=False)
    print("  a node was killed after a third of the batches", flush=True)


def figures_for_one_and_two_nodes():
    """One and two working nodes explain every image once."""
    for workers in (1, 2):
        rows, elapsed = run(workers)
        assert_each_once(rows)
        print(
            f"  {workers} working node(s) of one core: {IMAGES / elapsed:.1f} images/s, with the "
            "start of the engines",
            flush=True,
        )


def a_node_that_is_lost_loses_no_image():
    """Three nodes, one of which is killed in the middle: every image exactly once."""
    rows, elapsed = run(2, lose_a_node)
    assert_each_once(rows)
    print(f"  {IMAGES} images in {elapsed:.0f} s", flush=True)


def arrays_of_numpy_come_back():
    """In Ray's default format, maps are an array [N, h, w] beside the other columns."""
    explainer = Explainer(MODEL, column="bytes", threads=1, method="gradcam")
    try:
        rows = images()[:7]
        batch = {
            "id": np.array([row["id"] for row in rows]),
            "bytes": np.array([row["bytes"] for row in rows], object),
        }
        found = explainer(batch)
        assert found["map"].shape == (7, 7, 7) and "bytes" not in found
        assert (found["error"] == "").all() and (found["id"] == np.arange(7)).all()
        batch["bytes"][3] = b"no picture"
        found = explainer(batch)
        assert found["map"][3].shape == (0, 0) and found["error"][3]
    finally:
        explainer.engine.close()


CHECKS = [
    arrays_of_numpy_come_back,
    figures_for_one_and_two_nodes,
    a_node_that_is_lost_loses_no_image,
]
