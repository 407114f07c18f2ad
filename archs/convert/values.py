"""A transformers configuration, of which nothing may go unread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ANY = object()  # whatever it is, the function that the model computes is the same

# Keys of every configuration that change no hidden value: names, outputs, how weights start. So do token ids.
INERT: dict[str, Any] = dict.fromkeys(
    (
        "_name_or_path",
        "architectures",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "dtype",
        "gradient_checkpointing",
        "id2label",
        "initializer_range",
        "label2id",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "task_specific_params",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    ),
    ANY,
)

# Activations by their names there; where there are two for one function, the first is written back.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Values:
    """The values of a configuration; what is read is remembered, so that `finish` finds what is not."""

    def __init__(self, content: Mapping[str, Any], owner: str) -> None:
        self.content, self.owner, self.known = content, owner, set[str]()

    def __getitem__(self, key: str) -> Any:
        self.known.add(key)
        if key not in self.content:
            raise ValueError(f"{self.owner} has no {key}")
        return self.content[key]

    def refuse(self, key: str, wanted: str) -> ValueError:
        return ValueError(f"{self.owner} has {key}={self.content[key]!r}, which is not supported: {wanted}")

    def activation(self, key: str) -> str:
        """Our name of the activation called `key` there."""
        if self[key] not in ACTIVATIONS:
            raise self.refuse(key, f"one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[self[key]]

    def same(self, *keys: str) -> Any:
        """The value that these keys share."""
        first = self[keys[0]]
        for key in keys[1:]:
            if self[key] != first:
                raise self.refuse(key, f"it must be {keys[0]}={first!r} as well")
        return first

    def rope(self, of: str | None = None, partial: bool = False) -> dict[str, float]:
        """Settings of Rotary. of: one kind of layer, where kinds differ. partial: a fraction may turn."""
        key = "rope_parameters"
        rest = dict(self[key] if of is None else self[key][of])
        theta, fraction = rest.pop("rope_theta"), rest.pop("partial_rotary_factor", None)
        scaled = rest.pop("rope_type", "default") != "default" or any(v is not None for v in rest.values())
        if scaled or (fraction not in (None, 1.0) and not partial):
            raise self.refuse(key, "only rope_type='default', with a rope_theta")
        return {"theta": theta, "fraction": 1.0 if fraction is None else fraction}

    def finish(self, defaults: Mapping[str, Any], inert: Mapping[str, Any]) -> None:
        """Raise ValueError for a value that was neither read, nor inert, nor the default of its class."""
        for key, value in self.content.items():
            if key in self.known or key.endswith("_token_id") or inert.get(key) is ANY:
                continue
            if key not in defaults and key not in inert:
                if value is not None:
                    raise self.refuse(key, f"{self.owner} has no such key")
                continue
            allowed = inert[key] if key in inert else (defaults[key],)
            if value not in allowed:
                raise self.refuse(key, f"only {' or '.join(repr(item) for item in allowed)}")
