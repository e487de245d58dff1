"""Where runs are logged besides the project's own store: one file a tracker, one row each."""

from tutelage.registry import Table

TRACKERS = Table(
    "trackers",
    "tracker",
    {
        "mlflow": "tutelage.tracking.mlflow:open_tracker",
        "wandb": "tutelage.tracking.wandb:open_tracker",
    },
)

__all__ = ["TRACKERS"]
