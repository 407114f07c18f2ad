"""What the tables of the families share: reading settings off a backbone's parts, and common rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from archs.attention import Attention
from archs.backbones import Decoder, Encoder, EncoderDecoder
from archs.convert.compare import same_activation
from archs.convert.engine import Cat, Rule, rule
from archs.convert.values import ACTIVATIONS, Values
from archs.mlp import ACTIVATIONS as FUNCTIONS
from archs.residual import Residual, Stack

BackboneModule = Encoder | Decoder | EncoderDecoder
Part = TypeVar("Part", bound=nn.Module)


class Unlike(ValueError):
    """The backbone is of another family."""


@dataclass(frozen=True)
class Counterpart:
    """How one model class of transformers and a composition of ours are each other.

    name        of conf/arch/NAME.yaml
    build       its configuration to a backbone; ValueError for what has no composition here
    configure   a backbone to the values of its configuration that `build` reads; Unlike where a part is
                missing, ValueError for a setting that no such configuration has
    rules       the table between the state dicts, of a backbone that `build` gave
    embedding, output  keys of the token embedding and the output embedding there
    inert       keys of its configuration, beyond values.INERT, that change nothing: ANY, or the values for
                which it is so
    unread      beginnings of keys that checkpoints hold for heads that the model class does not have
    """

    name: str
    model_type: str
    config_class: str
    model_class: str
    build: Callable[[Values], BackboneModule]
    configure: Callable[[Any], dict[str, Any]]
    rules: Callable[[Any], list[Rule]]
    embedding: str
    output: str = "lm_head.weight"
    inert: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def sublayers(stack: Stack, name: str) -> list[Residual]:
    """The sublayer called `name` of every layer."""
    found = [layer[name] for layer in cast(Any, stack.layers) if name in layer]
    if len(found) < len(stack.layers):
        raise Unlike(f"a layer has no {name}")
    return found


def expect(part: Any, cls: type[Part]) -> Part:
    """`part`, without whose class it is another family."""
    if not isinstance(part, cls):
        raise Unlike(f"a {type(part).__name__} instead of a {cls.__name__}")
    return part


def need(part: Any, cls: type[Part], name: str) -> Part:
    """`part`, without whose class it is the same family, but none that transformers has."""
    if not isinstance(part, cls):
        raise ValueError(f"{name} is {type(part).__name__} instead of {cls.__name__}")
    return part


def act_name(act: Callable[[Tensor], Tensor]) -> str:
    """What transformers calls an activation of archs.mlp."""
    for theirs, ours in ACTIVATIONS.items():
        if same_activation(act, FUNCTIONS[ours]):
            return theirs
    raise Unlike("an activation that transformers does not have")


def tied(backbone: BackboneModule) -> bool:
    return backbone.lm_head.output is None


def ends(backbone: BackboneModule, output: str, *embedding: str) -> list[Rule]:
    """The token embedding, under all its names, and the output embedding."""
    if tied(backbone):
        return [rule("embedding.weight", *embedding, output)]
    return [rule("embedding.weight", *embedding), rule("lm_head.output.weight", output)]


def qkv(mixer: Attention) -> Cat:
    """Rows of the projections to queries, keys and values."""
    keys = mixer.kv_heads * mixer.head_dim
    return Cat((mixer.heads * mixer.head_dim, keys, keys))


def has_bias(linear: nn.Linear) -> bool:
    return linear.bias is not None
