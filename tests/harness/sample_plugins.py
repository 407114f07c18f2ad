"""Small plugins as text, and overrides that make a run with one a matter of seconds."""

BAG = '''
import torch
import torch.nn.functional as F
from archs import Family, Output
from archs.inputs import check_tokens
import bag_scale

class Bag(torch.nn.Module):
    """Every token reads the mean of all."""

    family = Family.ENCODER
    max_len = None

    def __init__(self, vocab_size: int, dim: int, depth: int = 1):
        super().__init__()
        self.vocab_size = vocab_size
        self.embedding = torch.nn.Embedding(vocab_size, dim)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(dim, dim) for _ in range(depth))

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        check_tokens(tokens, keep, self.vocab_size)
        keep = torch.ones_like(tokens, dtype=torch.bool) if keep is None else keep
        x = self.embedding(tokens)
        for layer in self.layers:
            mean = (x * keep[..., None]).sum(1, keepdim=True) / keep.sum(1)[:, None, None].clamp(min=1)
            x = x + bag_scale.SCALE * layer(mean)
        return Output(x)

    def head(self, hidden):
        return F.linear(hidden, self.embedding.weight)

    def flops(self, T, S=0, scored=None):
        return 2 * T * sum(p.numel() for p in self.parameters())

    def state_bytes(self, T, S=0, dtype=torch.float32):
        return 0
'''
BAG_YAML = """# A bag of words.
_target_: bag.Bag
dim: 16
depth: 2
sizing: {width: dim, multiple: 1, fine: null, depth: {200k: 2}}
"""
LEAKY = """
import torch

class Leaky(torch.nn.Module):
    def __init__(self, dim, causal=True, cross=False, keep=0.5):
        super().__init__()
        self.dim, self.out = dim, torch.nn.Linear(dim, dim)
        self.keep = keep

    def reset_parameters(self, depth):
        self.out.reset_parameters()

    def forward(self, x, ctx, state=None):
        return self.out(x), state

    def init_state(self, batch, max_len, device="cpu", dtype=torch.float32):
        return ()

    def flops(self, T, S=0):
        return 2 * T * self.dim**2

    def state_bytes(self, T, S=0, dtype=torch.float32):
        return 0
"""
LEAKY_YAML = "# A mixer that does not mix.\n_target_: leaky.Leaky\n_partial_: true\nkeep: 0.5\n"

TINY = ["budget=steps", "budget.steps=2", "evaluations=1", "batch_size=4", "trainer=cpu", "progress=false"]
TEXT = ["corpus=text", "tokenizer=bytes", "task.window=48", "task.context_bytes=24", "task.scored_bytes=8"]
TEXT += ["task.windows=4", "task.quick_windows=2"]


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
