"""MNIST's 60,000 training digits as float32 rows and labels, from the files that `mnistlab data fetch mnist` keeps."""

import os
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("MNISTLAB_DATA_DIR", "data/raw")) / "mnist"
STEPS = 60_000 // 32


def load():
    pixels = np.frombuffer((FOLDER / "train-images-idx3-ubyte").read_bytes(), np.uint8, offset=16)
    labels = np.frombuffer((FOLDER / "train-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    return pixels.reshape(-1, 784) / np.float32(255), labels.astype(np.int32)
