"""openapi-python-client: functions with httpx, and classes with attrs."""

import io

from camlens_attrs import Client
from camlens_attrs.api.explain import compare, explain, predict
from camlens_attrs.api.models import get_model, list_models
from camlens_attrs.models import (
    CompareForm,
    CompareOutput,
    Comparison,
    ExplainForm,
    Explanation,
    Explanations,
    Method,
    MethodName,
    Output,
    PredictForm,
    Problem,
)
from camlens_attrs.types import File

from camlens_tools.clients.generated.plain import COMPARED, TARGET, WRONG_CLASS, compared


def checks(plain):
    client = Client(base_url=plain.url)

    def form(kind):
        file = File(io.BytesIO(plain.image), plain.picture.name, "image/png")
        return kind(image=file)

    def explained(**options):
        return explain.sync(client=client, body=form(ExplainForm), output=Output.JSON, **options)

    def explanation():
        found = explained(model=plain.model, method=Method.GRADCAM, target=TARGET)
        assert isinstance(found, Explanation) and found.method is MethodName.GRADCAM, found
        assert found.target.index == int(TARGET) and found.heatmap.shape == [7, 7], found
        return found.to_dict()

    def explanations():
        found = explained(target="281,285")
        assert isinstance(found, Explanations), found
        assert [one.target.index for one in found.maps] == [281, 285], found
        return found.to_dict()

    def overlay():
        # Its functions parse one content type per status, which is JSON. For a picture its own
        # HTTP client sends the request that it has made.
        request = explain._get_kwargs(
            body=form(ExplainForm), model=plain.model, method=Method.GRADCAM, target=TARGET,
            output=Output.OVERLAY,
        )  # fmt: skip
        response = client.get_httpx_client().request(**request)
        assert response.headers["camlens-target"] == TARGET, response.headers
        return response.content

    def comparison():
        found = compare.sync(
            client=client, body=form(CompareForm), methods=COMPARED, output=CompareOutput.JSON
        )
        assert isinstance(found, Comparison), found
        assert found.maps.additional_keys == COMPARED.split(","), found
        return found.to_dict()

    def problem():
        response = explain.sync_detailed(
            client=client, body=form(ExplainForm), target=WRONG_CLASS, output=Output.JSON
        )
        found = response.parsed
        assert response.status_code == 422 and isinstance(found, Problem), response
        assert found.option == "target" and WRONG_CLASS in found.detail, found
        return found.to_dict()

    return compared(plain, __name__, {
        "models": lambda: list_models.sync(client=client).to_dict(),
        "model": lambda: get_model.sync(plain.model, client=client).to_dict(),
        "prediction": lambda: predict.sync(
            client=client, body=form(PredictForm), top_k=3
        ).to_dict(),
        "explanation": explanation,
        "explanations": explanations,
        "overlay": overlay,
        "comparison": comparison,
        "problem": problem,
    })  # fmt: skip
