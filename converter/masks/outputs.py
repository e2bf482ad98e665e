"""Outputs: maps each output of a network to a label, to no face, or to ignored."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import numpy as np

from edge_agent.domain import CLASSES, LABELS, NO_FACE, Class, Label
from edge_agent.errors import ConfigError
from training.label_names import class_of, is_negated, is_no_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Output: TypeAlias = Class | Literal["ignore"]
IGNORE: Literal["ignore"] = "ignore"
"""Meaning of an output without a label, such as "uncertain"."""
SingleOutput: TypeAlias = Literal["probability", "logit"]
SINGLE_OUTPUTS: tuple[SingleOutput, ...] = get_args(SingleOutput)
"""Meaning of the value of a single output: 0..1 with the decision at 0.5, or any number with the decision at 0."""


@dataclass(frozen=True, slots=True)
class LabelMapping:
    """The value of `--labels`: the outputs in order, or by their names in the file.

    If some of `names` are empty, the outputs are in order as well.
    """

    outputs: tuple[Output, ...] = ()
    names: tuple[str, ...] = ()

    def in_order_of(self, names: Sequence[str], *, path: object) -> tuple[Output, ...]:
        """The outputs in the order of a file's names, if names were given.

        Raises:
            ConfigError: the names do not match those of the file, or are incomplete or in another order.
        """
        if not self.names or not names:
            return self.outputs
        if "" in self.names:
            named = [(given, name) for given, name in zip(self.names, names, strict=False) if given]
            if any(_plain(given) != _plain(name) for given, name in named):
                raise ConfigError(
                    f"{path}: its outputs are called {', '.join(repr(name) for name in names)}; give --labels in "
                    "that order, or NAME=LABEL for each"
                )
            return self.outputs
        stated = {_plain(name): output for name, output in zip(self.names, self.outputs, strict=True)}
        plain = [_plain(name) for name in names]
        if set(stated) - set(plain):
            raise ConfigError(f"{path}: --labels names {', '.join(self.names)}, the file {', '.join(names)}")
        outputs = [
            stated[name] if name in stated else output_of(original) for name, original in zip(plain, names, strict=True)
        ]
        if None in outputs:
            raise ConfigError(unknown_names(path, names))
        return tuple(output for output in outputs if output is not None)

    def __bool__(self) -> bool:
        """Whether anything was stated."""
        return bool(self.outputs)


def parse_labels(text: str) -> LabelMapping:
    """Parse `with_mask,without_mask`, `with_mask,uncertain=ignore,without_mask` or `Com Mascara=with_mask,...`."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    names, outputs = [], []
    for part in parts:
        name, equals, label = part.rpartition("=")
        output = output_of(label)
        if output is None:
            raise argparse.ArgumentTypeError(
                f"'{label}' of '{text}' is none of {', '.join(CLASSES)} or {IGNORE}; write one for each output, in "
                "their order, or NAME=LABEL"
            )
        names.append(name if equals else "")
        outputs.append(output)
    kept = [output for output in outputs if output != IGNORE]
    if not kept or len(set(kept)) == 1 < len(kept):
        raise argparse.ArgumentTypeError(f"'{text}': give different labels of {', '.join(LABELS)}, separated by commas")
    return LabelMapping(tuple(outputs), tuple(names) if any(names) else ())


def output_of(name: str) -> Output | None:
    """The meaning of a common output name; None if unknown."""
    if name.strip() == IGNORE or is_no_label(name):
        return IGNORE
    return class_of(name)


def outputs_of(names: Sequence[str], *, path: object) -> tuple[Output, ...]:
    """The meanings of the names in a file, in order.

    Raises:
        ConfigError: a name is unknown, or two have the same meaning.
    """
    outputs = [output_of(name) for name in names]
    labels = [output for output in outputs if output != IGNORE]
    if None in outputs or len(set(labels)) != len(labels):
        raise ConfigError(unknown_names(path, names))
    return tuple(cast("list[Output]", outputs))


def unknown_names(path: object, names: Sequence[str]) -> str:
    """The error message for unknown names, with a suggestion."""
    plain = [_plain(name) for name in names]
    guesses = [output_of(name) if plain[i] not in plain[:i] else None for i, name in enumerate(names)]
    if "without_mask" not in guesses:
        bare = next((i for i, name in enumerate(names) if guesses[i] is None and is_negated(name)), None)
        guesses = ["without_mask" if i == bare else guess for i, guess in enumerate(guesses)]
    left = [label for label in LABELS if label not in guesses]
    meanings: list[str] = [guess or (left.pop(0) if left else IGNORE) for guess in guesses]
    # By name, if the option can tell the names apart.
    by_name = len(set(plain)) == len(plain) and not any("," in name for name in names)
    example = ",".join(
        f"{name}={meaning}" if by_name else meaning for name, meaning in zip(names, meanings, strict=True)
    )
    return (
        f"{path}: its outputs are called {', '.join(repr(name) for name in names)}; state what each means, "
        f"{', '.join(LABELS)} or {IGNORE}, for instance --labels '{example}'"
    )


def labels_among(outputs: Sequence[Output]) -> tuple[Label, ...]:
    """The different labels, in the order of the outputs."""
    return tuple(dict.fromkeys(output for output in outputs if output not in {IGNORE, NO_FACE}))


def label_matrix(outputs: Sequence[Output]) -> NDArray[np.float32]:
    """The matrix from output to label probabilities; the last column is no face, if an output has that meaning.

    The probabilities of outputs with the same label are added. Ignored outputs are distributed evenly over the labels:
    a face that is mostly "uncertain" favours none.
    """
    labels = labels_among(outputs)
    columns: tuple[Output, ...] = (*labels, NO_FACE) if NO_FACE in outputs else labels
    matrix = np.zeros((len(outputs), len(columns)), np.float32)
    for row, output in enumerate(outputs):
        if output == IGNORE:
            matrix[row, : len(labels)] = 1 / len(labels)
        else:
            matrix[row, columns.index(output)] = 1.0
    return matrix


def _plain(name: str) -> str:
    """A name in lower case without the number that Teachable Machine prefixes."""
    head, _, rest = name.strip().partition(" ")
    return (rest if head.isdecimal() and rest else name).strip().casefold()
