"""Where did an image classifier look? A client of camlens, and camlens as a process of its own.

    import camlens

    with camlens.Engine("model.onnx") as engine:
        explanation = engine.explain("cat.jpg", method="layercam")
    print(explanation.target.label, explanation.map.shape)

`Client(url)` asks a service that runs already. `camlens.ray` is a stage of Ray Data.
"""

from camlens.client import Client
from camlens.engine import Engine
from camlens.results import CamlensError, Explanation, Prediction

__all__ = ["CamlensError", "Client", "Engine", "Explanation", "Prediction"]
