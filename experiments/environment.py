"""What must be set before numpy is imported: threads that do not fight, and no telemetry. Imported first by entries."""

import os

SETTINGS = {
    # several OpenMP and BLAS runtimes live in one process; spinning, they slow each other down twentyfold
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    # without it a GPU multiplies matrices in an order of its own
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "Agg",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}

for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
