"""openapi-generator's python: classes of methods with urllib3, and models with pydantic."""

from camlens_pydantic import ApiClient, Configuration, ExplainApi, ModelsApi
from camlens_pydantic.exceptions import UnprocessableEntityException
from camlens_pydantic.models import (
    CompareOutput,
    Explanation,
    Explanations,
    Method,
    MethodName,
    Output,
    Problem,
)

from camlens_tools.clients.generated.plain import COMPARED, TARGET, WRONG_CLASS, compared


def checks(plain):
    client = ApiClient(Configuration(host=plain.url))
    explain, models = ExplainApi(client), ModelsApi(client)
    image = (plain.picture.name, plain.image)
    # Of several types for a body the generator's functions send JSON, unless told otherwise.
    form = {"_content_type": "multipart/form-data"}
    options = {"model": plain.model, "method": Method.GRADCAM, "target": TARGET, **form}

    def explanation():
        found = explain.explain(image, **options, output=Output.JSON).actual_instance
        assert isinstance(found, Explanation) and found.method is MethodName.GRADCAM, found
        assert found.target.index == int(TARGET) and found.heatmap.shape == [7, 7], found
        return found.to_dict()

    def explanations():
        found = explain.explain(image, target="281,285", **form, output=Output.JSON).actual_instance
        assert isinstance(found, Explanations), found
        assert [one.target.index for one in found.maps] == [281, 285], found
        return found.to_dict()

    def overlay():
        # The function that returns the response as it is: `explain` itself returns JSON.
        response = explain.explain_without_preload_content(image, **options, output=Output.OVERLAY)
        assert response.headers["camlens-target"] == TARGET, response.headers
        return response.data

    def comparison():
        found = explain.compare(image, methods=COMPARED, **form, output=CompareOutput.JSON)
        assert list(found.maps) == COMPARED.split(","), found
        return found.to_dict()

    def problem():
        try:
            explain.explain(image, target=WRONG_CLASS, **form, output=Output.JSON)
        except UnprocessableEntityException as error:
            found = error.data
        assert isinstance(found, Problem), found
        assert found.option == "target" and WRONG_CLASS in found.detail, found
        return found.to_dict()

    return compared(plain, __name__, {
        "models": lambda: models.list_models().to_dict(),
        "model": lambda: models.get_model(plain.model).to_dict(),
        "prediction": lambda: explain.predict(image, top_k=3, **form).to_dict(),
        "explanation": explanation,
        "explanations": explanations,
        "overlay": overlay,
        "comparison": comparison,
        "problem": problem,
    })  # fmt: skip
