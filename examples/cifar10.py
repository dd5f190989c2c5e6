"""Networks trained on CIFAR-10 from scratch; the CNN converted exactly and compared.

    python examples/cifar10.py --data FOLDER  reads FOLDER/cifar10.npz
    python examples/cifar10.py --network cnn fcn --seeds 0 1 2 --out FOLDER
    python examples/cifar10.py --network all-cnn-c --no-augment --batch-size 128

By default an epoch is 128 batches of 32 images, shifted by up to 10 % and mirrored at random.
"""

from __future__ import annotations

import sys

from refusal import status_of
from study import main

PUBLISHED_SCHEDULE = {"steps_per_epoch": 128, "batch_size": 32, "augment": True}

if __name__ == "__main__":
    sys.exit(status_of(lambda: main("cifar10", epochs=50, **PUBLISHED_SCHEDULE)))
