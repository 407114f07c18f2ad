"""Small backbones, composed from the very YAML files that users compose."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"
SMALL = ("dim=24", "depth=2", "heads=4")


@pytest.fixture(scope="session")
def build():
    """build("gpt", "arch/mlp=swiglu", "dim=48", vocab_size=61) -> backbone in eval mode, seeded."""

    def _build(name, *overrides, vocab_size=61, seed=0):
        spelled = [o if o.startswith("arch/") else f"arch.{o}" for o in (*SMALL, *overrides)]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(overrides=[f"+arch={name}", *spelled])
        OmegaConf.resolve(config)
        cls = get_class(config.arch._target_)
        accepted = inspect.signature(cls).parameters
        keys = {k: v for k, v in config.arch.items() if k in accepted}
        keys = {k: instantiate(v, _convert_="all") if OmegaConf.is_config(v) else v for k, v in keys.items()}
        torch.manual_seed(seed)
        return cls(vocab_size=vocab_size, **keys).eval()

    return _build


@pytest.fixture(scope="session")
def perturb():
    """Move every parameter and saved buffer away from where initialisation leaves them (0, 1, ...)."""

    def _perturb(module, seed=0):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for tensor in module.state_dict().values():
                if tensor.is_floating_point():
                    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                    tensor.add_(0.1 * noise.to(tensor.dtype))
        return module

    return _perturb
