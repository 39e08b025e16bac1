"""Lists which of timm's architectures have gradients at which layers when exported plainly.

    python tools conformance.coverage [--camlens PATH] [--exporter torchscript|dynamo] [NAME ...]

Exports each architecture with nothing but the model and an example of batch size 1, and asks
`camlens inspect` what it supports. Prints one row of docs/coverage.md each. Nothing is compared
with autograd here; conformance.zoo does that. Runs in the environment of
requirements/conformance.txt.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch

from camlens_tools.paths import BINARY, TOOLS

ARCHITECTURES = """
    resnet10t resnetv2_50 seresnet50 ecaresnet26t skresnet18 resnest14d res2net50_26w_4s cspresnet50
    cspdarknet53 darknet53 dla34 dpn48b hrnet_w18_small regnety_004 regnetz_040 rexnet_100 repvgg_a0
    mobileone_s0 fastvit_t8 ghostnet_100 ghostnetv2_100 tinynet_e hardcorenas_a
    mobilenetv3_small_050 mobilenetv4_conv_small mobilenetv4_hybrid_medium lcnet_050 fbnetc_100
    mixnet_s efficientnet_lite0 efficientnetv2_rw_t nfnet_l0 dm_nfnet_f0 eca_nfnet_l0 inception_v4
    inception_resnet_v2 inception_next_tiny xception41 nasnetalarge pnasnet5large selecsls42
    vovnet39a ese_vovnet19b_dw hgnet_tiny hgnetv2_b0 convnext_atto convnextv2_atto convmixer_768_32
    poolformer_s12 poolformerv2_s12 caformer_s18 convformer_s18 edgenext_xx_small mobilevit_xxs
    mobilevitv2_050 efficientformer_l1 efficientformerv2_s0 efficientvit_b0 efficientvit_m0
    levit_128s tiny_vit_5m_224 repvit_m0_9 shvit_s1 starnet_s1 swiftformer_xs crossvit_tiny_240
    cait_xxs24_224 coat_tiny coat_lite_tiny convit_tiny deit3_small_patch16_224
    beit_base_patch16_224 beitv2_base_patch16_224 eva02_tiny_patch14_224 davit_tiny
    focalnet_tiny_srf gcvit_xxtiny gmixer_24_224 mixer_s32_224 resmlp_12_224 gmlp_s16_224
    hiera_tiny_224 halonet26t lambda_resnet26t botnet26t_256 sebotnet33ts_256 eca_botnext26ts_256
    maxxvit_rmlp_nano_rw_256 coatnet_nano_rw_224 coatnext_nano_rw_224 mvitv2_tiny nest_tiny
    nextvit_small pit_ti_224 pit_ti_distilled_224 pvt_v2_b0 sequencer2d_s swinv2_tiny_window8_256
    swinv2_cr_tiny_ns_224 tnt_s_patch16_224 tresnet_m twins_pcpvt_small twins_svt_small vgg11_bn
    visformer_tiny vit_base_patch32_224 vit_relpos_small_patch16_224 vit_srelpos_small_patch16_224
    vit_small_patch16_rope_224 volo_d1_224 wide_resnet50_2 xcit_nano_12_p16_224 vitamin_small_224
    mambaout_femto rdnet_tiny
""".split()
EXPORTERS = {
    "torchscript": {"dynamo": False},
    "dynamo": {"dynamo": True, "external_data": False, "verbose": False},
}
CLASS_TOKEN = "class token alone"


def export(name, exporter, path):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    image = torch.randn(1, *model.pretrained_cfg["input_size"])
    torch.onnx.export(model, (image,), path, **EXPORTERS[exporter])


def exported(name, exporter, path):
    """Exports in a process of its own, because torch prints whole graphs.

    Returns None, or the name of the exception that the exporter raised.
    """
    command = [
        sys.executable,
        str(TOOLS),
        "conformance.coverage",
        "--export",
        str(path),
        "--exporter",
        exporter,
        name,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    raised = re.findall(
        r"^[\w.]*?(\w+(?:Error|Exception|Unsupported\w*))\b", ran.stderr, re.MULTILINE
    )
    return None if ran.returncode == 0 else (raised or ["a crash"])[-1]


def inspected(camlens, path):
    """The columns from `camlens inspect`: gradients, batches, default layer, unsupported parts."""
    ran = subprocess.run(
        [camlens, "inspect", path, "--json"], capture_output=True, text=True, check=False
    )
    if ran.returncode:
        return f"refused: {ran.stderr.strip().splitlines()[-1]} | | | |"
    model = json.loads(ran.stdout)
    layers = model["layers"]
    without = [layer for layer in layers if not layer["gradients"]]
    behind = sum(CLASS_TOKEN in layer["reason"] for layer in without)
    reasons = sorted({layer["reason"] for layer in without if CLASS_TOKEN not in layer["reason"]})
    operators = sorted({reason.split("(")[0].strip() for reason in reasons})
    notes = [f"{behind} behind the last attention"] * bool(behind) + operators
    batches = "yes" if model["input"]["batch"] > 1 else "no"
    gradients = len(layers) - len(without)
    default, notes = model["default_layer"], "; ".join(notes)
    return f"{gradients} of {len(layers)} | {batches} | `{default}` | {notes} |"


def row(camlens, name, exporter):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        failure = exported(name, exporter, path)
        # A failed export is a row of the table, not an error.
        columns = f"can't be exported: {failure} | | | |" if failure else inspected(camlens, path)
        return f"| {name} | {exporter} | {columns}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--camlens", default=BINARY)
    parser.add_argument("--exporter", choices=EXPORTERS, action="append")
    parser.add_argument(
        "--export", metavar="FILE", type=Path, help="only export the one named architecture"
    )
    parser.add_argument("architecture", nargs="*", default=ARCHITECTURES)
    arguments = parser.parse_args()
    if arguments.export:
        return export(arguments.architecture[0], arguments.exporter[0], arguments.export)
    for name in arguments.architecture:
        for exporter in arguments.exporter or EXPORTERS:
            print(row(arguments.camlens, name, exporter), flush=True)
    return None


if __name__ == "__main__":
    main()
