"""What kserve's own REST client does with the service, in both versions of the protocol."""

import base64
import json

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


def checks(url, model, image):
    """The checks, for a model and an image file."""
    v1, v2 = RESTConfig(protocol="v1"), RESTConfig(protocol="v2")
    text = base64.b64encode(image).decode()

    async def server_is_live():
        """v1 server is live"""
        async with InferenceRESTClient(v1) as client:
            assert await client.is_server_live(url)

    async def model_is_ready():
        """v1 model is ready"""
        async with InferenceRESTClient(v1) as client:
            assert await client.is_model_ready(url, model) is True

    async def predicts():
        """v1 predict, two instances"""
        async with InferenceRESTClient(v1) as client:
            data = {"instances": [{"b64": text}, text]}
            found = await client.infer(url, data, model_name=model)
        assert len(found["predictions"]) == 2, found
        best = found["predictions"][0]["predictions"][0]
        assert best["label"] == "Egyptian cat" and best["probability"] > 0.1, best

    async def explains():
        """v1 explain, with options"""
        async with InferenceRESTClient(v1) as client:
            data = {
                "instances": [{"image": {"b64": text}}],
                "parameters": {"method": "gradcam", "target": 281},
            }
            found = await client.explain(url, model, data)
        (explanation,) = found["explanations"]
        assert explanation["method"] == "gradcam", explanation
        assert explanation["target"]["index"] == 281, explanation
        assert explanation["heatmap"]["max"] > 0, explanation

    async def errors_are_read():
        """v1 errors have a text that the client shows"""
        async with InferenceRESTClient(v1) as client:
            for name, instances, words in (
                ("none", [text], "Model with name none does not exist., '404 Not Found'"),
                (model, 1, 'Expected "instances" to be a list'),
                (model, [1], "an instance is an image file in base64"),
            ):
                try:
                    await client.explain(url, name, {"instances": instances})
                except httpx.HTTPStatusError as error:
                    assert words in str(error), error
                else:
                    raise AssertionError(f"{name} was explained")

    async def health():
        """v2 server is live and ready, model is ready, another is not"""
        async with InferenceRESTClient(v2) as client:
            assert await client.is_server_live(url) is True
            assert await client.is_server_ready(url) is True
            assert await client.is_model_ready(url, model) is True
            assert await client.is_model_ready(url, "none") is False

    async def infers_binary():
        """v2 infer with a binary tensor"""
        image_input = InferInput("image", [1], "BYTES")
        image_input.set_data_from_numpy(np.array([image], dtype=np.object_), binary_data=True)
        request = InferRequest(
            model_name=model, infer_inputs=[image_input], parameters={"method": "gradcam"}
        )
        async with InferenceRESTClient(v2) as client:
            response = await client.infer(url, request, model_name=model)
        assert response.model_name == model, response
        outputs = {output.name: output.as_numpy() for output in response.outputs}
        assert outputs["heatmap"].shape == (1, 7, 7), outputs["heatmap"].shape
        assert outputs["heatmap"].max() == 1, outputs["heatmap"]
        assert outputs["probabilities"].argmax() == outputs["target"][0], outputs["target"]

    async def infers_json():
        """v2 infer, an explainer as a model, in JSON"""
        data = {
            "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}],
            "parameters": {"explain_parameters": {"method": "gradcam"}},
        }
        async with InferenceRESTClient(v2) as client:
            response = await client.infer(url, data, model_name=f"{model}-explainer")
        (output,) = response.outputs
        explanation = json.loads(output.data[0])
        assert explanation["method"] == "gradcam", explanation

    async def v2_errors_are_read():
        """v2 errors have a text that the client shows"""
        data = {"inputs": []}
        async with InferenceRESTClient(v2) as client:
            try:
                await client.infer(url, data, model_name=model)
            except httpx.HTTPStatusError as error:
                assert "the request has 0 inputs" in str(error), error
            else:
                raise AssertionError("a request without inputs was accepted")

    return [
        server_is_live,
        model_is_ready,
        predicts,
        explains,
        errors_are_read,
        health,
        infers_binary,
        infers_json,
        v2_errors_are_read,
    ]
