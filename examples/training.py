"""One training run in a folder of its own: it resumes after a kill, and is not done twice."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import keras
import numpy as np
from architectures import optimizer
from batches import Batches, augmentation, scaled
from data_sets import Images
from distributed import Scope
from records import read_json, write_json, write_whole
from refusal import Refusal
from whole_epochs import WholeEpochs, refuse_other_backends, train_by_epochs

HISTORY = "history.json"
CURVE_POINTS, CURVE_IMAGES = 10, 2000
"""How often the learning curve looks at how many test images. Nothing is chosen by what it says."""
SECONDS_BETWEEN_BACKUPS = 5


@dataclass(frozen=True)
class Settings:
    """All that decides what a run computes, but for the images."""

    data: str
    network: str
    seed: int
    epochs: int
    batch_size: int
    steps_per_epoch: int | None = None
    augment: bool = False
    learning_rate: float | None = None
    distribute: bool = False
    whole_epochs: bool = False


class Diary(keras.callbacks.Callback):
    """Writes each epoch's numbers and seconds to a file; what resumes goes on where it stopped.

    It also gives the batches and the dropout layers the epoch's number: what is random in an epoch
    follows from it and from the seed, so a resumed run draws what the killed one would have drawn.
    """

    def __init__(self, path: Path, batches: Batches, seed: int) -> None:
        super().__init__()
        self.path, self.batches, self.seed = path, batches, seed
        self.epochs: list[dict[str, float]] = read_json(path) if path.exists() else []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set what is random, and the clock."""
        self.batches.epoch = epoch
        # PyTorch's dropout has no other seed than this one, of 32 bits.
        keras.utils.set_random_seed((self.seed << 16 | epoch) % 2**32)
        random_layers = [layer for layer in self.model.layers if hasattr(layer, "seed_generator")]
        for place, layer in enumerate(random_layers):
            stream = (self.seed * len(random_layers) + place) % 2**32
            layer.seed_generator.state.assign(np.array([stream, epoch << 16], "uint32"))
        self.start = self.end = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop the clock for now: what comes behind the last batch is evaluation."""
        if logs and batch == self.params["steps"] - 1:
            float(logs["loss"])  # waits: JAX goes on before it has computed
        self.end = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add the epoch to the file."""
        seconds = self.end - self.start
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        self.epochs = [*self.epochs[:epoch], {"epoch": epoch + 1, "seconds": seconds, **numbers}]
        write_json(self.path, self.epochs)


class Backup(keras.callbacks.BackupAndRestore):
    """Keras' own, but not more often than every few seconds: an epoch may take a tenth of one."""

    def __init__(self, folder: Path) -> None:
        # Two copies: a kill may come while one is being written.
        super().__init__(folder, double_checkpoint=True, delete_checkpoint=False)
        self.saved = -math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save what has been learnt, if the last time is long enough ago."""
        if time.perf_counter() - self.saved > SECONDS_BETWEEN_BACKUPS:
            super().on_epoch_end(epoch, logs)
            self.saved = time.perf_counter()


def train(
    settings: Settings,
    build: Callable[[], keras.Model],
    images: Images,
    folder: Path,
    scope: Scope = nullcontext,
) -> keras.Model:
    """Train the model that `build` makes, or read it from `folder` where it was trained before.

    Raises:
        Refusal: The folder holds a run with other settings, or Keras' backend has no whole epochs.
    """
    finished = (folder / "model.keras").exists()
    if settings.whole_epochs and not finished:
        refuse_other_backends()
    hold_to(settings, folder)
    if not finished:
        train_anew(settings, build, images, folder, scope)
    return keras.saving.load_model(folder / "model.keras")


def train_anew(
    settings: Settings,
    build: Callable[[], keras.Model],
    images: Images,
    folder: Path,
    scope: Scope,
) -> None:
    """Build, train and save a model, or go on where that was interrupted."""
    batches = (WholeEpochs if settings.whole_epochs else Batches)(
        images.train_images,
        images.train_labels,
        batch_size=settings.batch_size,
        steps=settings.steps_per_epoch,
        seed=settings.seed,
        augment=augmentation(settings.data != "mnist") if settings.augment else None,
    )
    keras.utils.set_random_seed(settings.seed % 2**32)
    with scope():
        model = build()
        steps = settings.epochs * batches.steps
        rule = optimizer(settings.network, steps, settings.learning_rate)
        model.compile(rule, "sparse_categorical_crossentropy", metrics=["accuracy"])
        if isinstance(batches, WholeEpochs):
            train_by_epochs(model, batches)
        fit(model, settings, batches, images, folder)
        write_whole(folder / "model.keras", model.save)
    shutil.rmtree(folder / "backup", ignore_errors=True)


def fit(
    model: keras.Model, settings: Settings, batches: Batches, images: Images, folder: Path
) -> None:
    """Keras' own `fit`, from the last epoch that was backed up."""
    seen = slice(CURVE_IMAGES)
    model.fit(
        batches,
        epochs=settings.epochs,
        shuffle=False,  # the batches are; Keras would shuffle their numbers too, out of our sight
        validation_data=(scaled(images.test_images[seen]), images.test_labels[seen]),
        validation_batch_size=500,
        validation_freq=max(1, settings.epochs // CURVE_POINTS),
        callbacks=[Diary(folder / HISTORY, batches, settings.seed), Backup(folder / "backup")],
    )


def hold_to(settings: Settings, folder: Path) -> None:
    """Write the settings of a new run, and refuse to go on with others in the same folder."""
    path = folder / "settings.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(settings))
    # A setting that there was not yet is as it is by default.
    before = {field.name: field.default for field in fields(Settings)} | read_json(path)
    other = [name for name, value in asdict(settings).items() if before[name] != value]
    if other:
        told = "; ".join(f"{name} {before[name]}, not {getattr(settings, name)}" for name in other)
        raise Refusal(f"{folder} holds a run with {told}\nName another folder, or delete this one.")
