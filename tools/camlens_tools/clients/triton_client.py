"""What Triton's own HTTP client does with the service."""

import json

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def checks(address, model, image):
    """The checks, for a model and an image file."""
    client = triton.InferenceServerClient(address, network_timeout=600)

    def image_input():
        found = triton.InferInput("image", [1, 1], "BYTES")
        found.set_data_from_numpy(np.array([[image]], dtype=np.object_))
        return found

    def heatmap(**how):
        outputs = [triton.InferRequestedOutput("heatmap", **how.pop("output", {}))]
        response = client.infer(
            model, [image_input()], outputs=outputs, parameters={"method": "gradcam"}, **how
        )
        return response.as_numpy("heatmap")

    def health():
        """server is live and ready, model is ready, another is not"""
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready(model) and client.is_model_ready(model, "1")
        assert not client.is_model_ready("none") and not client.is_model_ready(model, "2")

    def metadata():
        """metadata of server and model"""
        server = client.get_server_metadata()
        assert server["name"] == "camlens", server
        assert "binary_tensor_data" in server["extensions"], server
        described = client.get_model_metadata(model)
        names = [found["name"] for found in described["inputs"]]
        assert names[0] == "image" and len(names) == 2, described

    def infers_all_outputs():
        """infer: binary image in, all outputs as binary"""
        response = client.infer(model, [image_input()], request_id="7")
        assert response.get_response()["id"] == "7", response.get_response()
        maps, target = response.as_numpy("heatmap"), response.as_numpy("target")
        probabilities = response.as_numpy("probabilities")
        assert maps.shape == (1, 7, 7) and maps.dtype == np.float32, maps.shape
        assert target.tolist() == [int(probabilities.argmax())], target
        assert abs(probabilities.sum() - 1) < 1e-4, probabilities.sum()

    def infers_compressed():
        """infer: gzip and deflate give the same map, and so does an output in JSON"""
        plain = heatmap()
        for how in (
            {"request_compression_algorithm": "gzip"},
            {"request_compression_algorithm": "deflate"},
            {"request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"},
            {"output": {"binary_data": False}},
        ):
            assert np.array_equal(heatmap(**how), plain), how

    def infers_tensors():
        """infer: the model's own FP32 tensor, two instances, binary and in JSON"""
        described = client.get_model_metadata(model)["inputs"][1]
        shape = [2, *described["shape"][1:]]
        values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        found = []
        for is_binary in (True, False):
            tensor = triton.InferInput(described["name"], shape, "FP32")
            tensor.set_data_from_numpy(values, binary_data=is_binary)
            response = client.infer(model, [tensor], parameters={"target": 5})
            assert response.as_numpy("target").tolist() == [5, 5]
            found.append(response.as_numpy("heatmap"))
        assert found[0].shape == (2, 7, 7) and np.array_equal(*found)

    def explanation_is_a_text():
        """infer: the output `explanation` holds the JSON of /v1/explain"""
        outputs = [triton.InferRequestedOutput("explanation")]
        response = client.infer(model, [image_input()], outputs=outputs)
        explanation = json.loads(response.as_numpy("explanation")[0][0])
        assert explanation["model"] == model, explanation

    def errors_are_read():
        """errors have a text that the client shows"""
        unknown = [triton.InferRequestedOutput("logits")]
        for name, outputs, words in (
            (model, unknown, "there is no output 'logits'"),
            ("none", None, "Model with name none does not exist."),
        ):
            try:
                client.infer(name, [image_input()], outputs=outputs)
            except InferenceServerException as error:
                assert words in error.message(), error
            else:
                raise AssertionError(f"{name} was inferred")

    return [
        health,
        metadata,
        infers_all_outputs,
        infers_compressed,
        infers_tensors,
        explanation_is_a_text,
        errors_are_read,
    ]
