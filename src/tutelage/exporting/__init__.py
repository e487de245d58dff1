"""Leaving: a trained student as files that need nothing of this package. One file a target, one row each."""

from tutelage.registry import Table

TARGETS = Table(
    "exporting",
    "target",
    {
        "wheel": "tutelage.exporting.wheel:TARGET",
        "onnx": "tutelage.exporting.onnx:TARGET",
        "safetensors": "tutelage.exporting.safetensors:TARGET",
        "gguf": "tutelage.exporting.gguf:TARGET",
        "hub-folder": "tutelage.exporting.hub:TARGET",
        "image": "tutelage.exporting.image:TARGET",
    },
)

__all__ = ["TARGETS"]
