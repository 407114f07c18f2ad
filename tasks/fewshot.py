"""Labels named without training: which label's text a pretrained model finds likeliest behind a prompt.

    Text: a lovely film              the examples, drawn from the training split, `shots` of them
    Label: positive

    Text: the plot is thin           the question
    Label:| negative                 scored behind the bar, once per label, up to the end of its line

A label costs what its text costs: the plain sum of nats of " negative" and the line's end, with the softmax
over ordinary tokens (scoring.row_costs). That is minus the logarithm of the probability that the model writes
just this, so that the labels of a task compare whatever their length and whatever the tokenizer; the end of
the line keeps a label from winning as the beginning of another. Dividing by bytes would instead favour long
labels whose last letters are easily guessed. What a sum does not correct is how often the model writes a word
anyway: `named_most`, the share of the label named most often, tells.

Every family reads the same bytes, in the prompt of the objective that it was trained by (an encoder is shown
the text so far and one mask, a token at a time).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from archs.contract import Backbone

from .classification import TextTask
from .labelled import Labelled
from .objectives import Objective
from .scoring import row_costs
from .streams import stream
from .tokenizer import BOS, Tokenizer

TOGETHER = 32  # questions whose rows exist at once
MARKERS = 2  # tokens that an objective's prompt adds to a context and what follows it


@dataclass(frozen=True)
class Prompt:
    """What is read before a label. shots: examples left in it; cut: whether the question itself was cut."""

    ids: np.ndarray
    shots: int
    cut: bool


def few_shot(
    model: Backbone, objective: Objective, task: TextTask, split: str, shots: int, limit: int
) -> dict[str, Any]:
    """What `model` makes of `split` after `shots` examples of the training split.

    limit: tokens that prompt and label may have together. Prompts that are longer lose examples from the
    left, whole ones, and then the end of the question's text.

    accuracy, macro_f1   over the split
    named_most           share of the label that is named most often
    shots                examples that a prompt holds on average, after cutting
    prompts_shortened    prompts that lost examples; texts_cut: questions whose text was cut

    Raises ValueError for a limit too small to ask anything, or more shots than there are training examples.
    """
    train, held = task.documents["train"], task.documents[split]
    if shots > len(train):
        raise ValueError(f"shots={shots} is more than the {len(train)} training examples of task={task.name}")
    answers = [task.tokenizer.encode(f" {name}\n").astype(np.int64) for name in task.label_names]
    room = limit - max(map(len, answers)) - MARKERS
    prompts = []
    for i, document in enumerate(held):
        rng = stream("shots", task.digests["examples"], split, i)
        prompts.append(
            fitting(task.tokenizer, chosen(train, task.label_names, shots, rng), document.text, room)
        )
    said: list[int] = []
    for first in range(0, len(prompts), TOGETHER):
        said += likeliest(model, objective, prompts[first : first + TOGETHER], answers)
    wanted = [task.label_names.index(document.label) for document in held]
    return quality(np.array(said), np.array(wanted), len(answers)) | {
        "shots": float(np.mean([prompt.shots for prompt in prompts])),
        "prompts_shortened": sum(prompt.shots < shots for prompt in prompts),
        "texts_cut": sum(prompt.cut for prompt in prompts),
    }


def chosen(
    train: Sequence[Labelled], labels: Sequence[str], shots: int, rng: np.random.Generator
) -> list[Labelled]:
    """`shots` training examples in random order, drawn for each question anew, of each label as many as of
    any other, or one more."""
    order = rng.permutation(len(train))
    rank = dict(zip(rng.permutation(list(labels)).tolist(), range(len(labels)), strict=True))
    seen = dict.fromkeys(labels, 0)
    turns = []
    for i in order:
        label = train[i].label
        turns.append((seen[label], rank[label], i))
        seen[label] += 1
    picked = [i for _, _, i in sorted(turns)[:shots]]
    return [train[i] for i in rng.permutation(np.array(picked, dtype=np.int64))]


def fitting(tokenizer: Tokenizer, examples: Sequence[Labelled], text: str, room: int) -> Prompt:
    """The prompt, made to fit into `room` tokens."""
    for dropped in range(len(examples) + 1):
        ids = encoded(tokenizer, examples[dropped:], text)
        if len(ids) <= room:
            return Prompt(ids, len(examples) - dropped, False)
    kept = tokenizer.encode(text)
    while len(ids) > room and len(kept):
        kept = kept[: -(len(ids) - room)] if len(ids) - room < len(kept) else kept[:0]
        ids = encoded(tokenizer, [], tokenizer.decode(kept).rstrip("\ufffd"))
    if not len(kept):
        raise ValueError(
            f"a prompt needs more than {room} tokens, which is all that the model was trained to read"
        )
    return Prompt(ids, 0, True)


def encoded(tokenizer: Tokenizer, examples: Sequence[Labelled], text: str) -> np.ndarray:
    before = "".join(f"Text: {example.text}\nLabel: {example.label}\n\n" for example in examples)
    return np.concatenate([[BOS], tokenizer.encode(f"{before}Text: {text}\nLabel:")]).astype(np.int64)


def likeliest(
    model: Backbone, objective: Objective, prompts: Sequence[Prompt], answers: Sequence[np.ndarray]
) -> list[int]:
    """For each prompt, which of the answers costs least behind it."""
    asked = [objective.continuation_prompt(prompt.ids, answer) for prompt in prompts for answer in answers]
    costs = iter(row_costs(model, [row for rows in asked for row in rows]))
    nats = np.array([sum(float(next(costs).sum()) for _ in rows) for rows in asked])
    return [int(i) for i in nats.reshape(len(prompts), len(answers)).argmin(axis=1)]


def quality(said: np.ndarray, wanted: np.ndarray, count: int) -> dict[str, float]:
    """Of label numbers said and wanted (N,), of `count` labels."""
    from torchmetrics.functional.classification import multiclass_f1_score

    f1 = multiclass_f1_score(
        torch.from_numpy(said), torch.from_numpy(wanted), num_classes=count, average="macro"
    )
    return {
        "accuracy": float((said == wanted).mean()),
        "macro_f1": float(f1),
        "named_most": float(np.bincount(said).max() / len(said)),
    }
