"""Images of every format and variant, with the pixels that must come out.

    python tools golden.decoding.main --cjpeg FILE [--library DIR]

Writes tests/golden/decoding: the files, manifest.json, and expected.npz. FILE is cjpeg of
libjpeg-turbo 2.1.5 (Debian's package libjpeg-turbo-progs), DIR the folder of its library where
that is not installed. Needs tools/requirements/golden-decoding.txt.
"""

import argparse
import hashlib
import json
import shutil
import warnings

from camlens_tools.golden import common
from camlens_tools.golden.decoding import jpeg, orientation, others, png, tiff
from camlens_tools.paths import GOLDEN

OUT = GOLDEN / "decoding"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cjpeg", required=True)
    parser.add_argument("--library")
    options = parser.parse_args()
    # Pillow warns about metadata that are damaged on purpose.
    warnings.simplefilter("ignore")
    cjpeg = jpeg.Cjpeg(options.cjpeg, options.library)
    shutil.rmtree(OUT, ignore_errors=True)
    manifest, arrays = {}, {}
    groups = [jpeg.cases(cjpeg), png.cases(), tiff.cases(cjpeg), others.cases()]
    groups.append(orientation.cases(cjpeg))
    for group in groups:
        for name, data, right in group:
            assert name not in manifest, name
            path = OUT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if isinstance(right, str):
                manifest[name] = {"refused": right}
                continue
            height, width, _ = right.shape
            key = f"{width}x{height}-{hashlib.sha256(right.tobytes()).hexdigest()[:12]}"
            arrays[key] = right
            manifest[name] = {"pixels": key}
    lines = [f"  {json.dumps(name)}: {json.dumps(manifest[name])}" for name in sorted(manifest)]
    (OUT / "manifest.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    common.save(OUT / "expected.npz", arrays)
    print(len(manifest), "files,", len(arrays), "pictures,",
          sum(path.stat().st_size for path in OUT.rglob("*.*")), "bytes")  # fmt: skip


if __name__ == "__main__":
    main()
