"""The model as MLflow serves it: loaded from code, called on a frame of user ids."""

from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from experiments.package import Package


class RecommenderModel(PythonModel):
    """predict(frame with a column `user`, params={"k": 10}) -> frame user, rank, item, title, score."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the package that was logged beside this code."""
        self.package = Package.load(Path(context.artifacts["package"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The best unseen items for each user, best first; an unknown user gets popular ones."""
        if "user" not in model_input:
            raise ValueError(f"expected a column 'user' with user ids, got {list(model_input.columns)}")
        k = int((params or {}).get("k", 10))
        frame: pd.DataFrame = self.package.table(ids(model_input["user"]), k).to_pandas()
        return frame


def ids(users: "pd.Series[Any]") -> list[str]:
    """User ids as text, "" for a missing one. Beside a missing one numbers come as floats: 17.0 is the user 17."""
    whole = users.dtype.kind == "f" and bool((users.dropna() % 1 == 0).all())
    return (users.astype("Int64") if whole else users).astype("string").fillna("").tolist()


mlflow.models.set_model(RecommenderModel())
