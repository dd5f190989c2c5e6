"""Networks trained on MNIST from scratch; the CNN converted and compared on all 10,000 test images.

    python examples/mnist.py                  downloads MNIST through Keras
    python examples/mnist.py --data FOLDER    reads FOLDER/mnist.npz
    python examples/mnist.py --epochs 10 --network cnn fcn --seeds 0 1 2 --out FOLDER

The exact conversion has to give the same 10,000 classes; `python examples/mnist.py --help` tells
the other options.
"""

from __future__ import annotations

import sys

from refusal import status_of
from study import main

if __name__ == "__main__":
    sys.exit(status_of(lambda: main("mnist", epochs=3, batch_size=128)))
