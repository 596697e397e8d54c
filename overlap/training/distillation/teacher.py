"""The teacher of a student: the networks of an ensemble, which predict every training batch.

The target of a clip is w * label + (1 - w) * mean prediction of the members. The members predict
the clip as the student hears it, after augmentation: a target that was computed once, from the
unchanged clip, would describe another sound, and the members have learned the unchanged clip by
heart, so that it would hardly differ from the label.

The mean is not the fitted pool of the ensemble, whose parameters depend on the labels of held-out
clips: a student that learned from them could not be judged on these clips. The mean of
distributions over sets of k words also stays one, with shares of at most 1/k.
"""

from collections.abc import Sequence
from typing import Any

from overlap.errors import MemberError
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE
from overlap.training.keras_import import keras, ops
from overlap.training.saved import load_network
from overlap.training.spec import MemberSpec, load_record

Tensor = Any  # of whichever backend Keras runs on


class Teacher(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Replaces the labels of a batch by the targets of a student.

    Args:
        networks: The networks of the members; they are frozen.
        label_weight: Weight of the labels, 0 to 1.
        start: Index of the network with whose weights the student begins; None: with random ones.
    """

    def __init__(
        self, networks: Sequence[keras.Model], label_weight: float, start: int | None = None
    ) -> None:
        super().__init__(trainable=False, dtype="float32", autocast=False)
        self.start = start
        self.networks, self.label_weight = [*networks], label_weight
        for network in self.networks:
            network.trainable = False

    def prepare(self, student: keras.Model) -> None:
        """Give an untrained student the weights that it begins with."""
        if self.start is not None:
            student.set_weights(self.networks[self.start].get_weights())

    def call(self, decibels: Tensor, labels: Tensor) -> Tensor:
        """Return the (clips, words) targets of augmented decibels and their labels.

        Args:
            decibels: (clips, mel, frame, resolution) dB.
            labels: (clips, words).
        """
        heard = ops.cast(decibels, "float16")
        shares = [ops.cast(one(heard, training=False), "float32") for one in self.networks]
        mean = sum(shares[1:], start=shares[0]) / len(shares)
        targets = self.label_weight * labels + (1 - self.label_weight) * mean
        return ops.stop_gradient(targets)


def open_teacher(spec: MemberSpec, folder: Location) -> Teacher | None:
    """Load the teacher of a student; None for a member that learns from the labels alone.

    Args:
        spec: The member.
        folder: Its folder, which lies beside those of the teacher's members.

    Raises:
        MemberError: A member of the teacher was removed, or trained again, since the student was
            planned (code `teacher-changed`, with the `teacher`).
        CorruptError: A network is damaged.
    """
    lesson = spec.distillation
    if lesson is None:
        return None
    networks = []
    for name, digest in zip(lesson.members, lesson.networks, strict=True):
        record = load_record(folder.parent / name)
        if record is None or record.files[MODEL_FILE] != digest:
            what = "removed" if record is None else "trained again"
            raise MemberError(
                f"member {name} of the ensemble to distil was {what} since; run `overlap distill` "
                "again",
                code="teacher-changed", member=spec.fingerprint, teacher=name,
            )  # fmt: skip
        networks.append(load_network(folder.parent / name, record))
    start = None if lesson.start is None else lesson.members.index(lesson.start)
    return Teacher(networks, lesson.label_weight, start)
