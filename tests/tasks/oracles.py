"""Models that solve the mechanistic tasks by rule, from what stands up to the position they are read at."""

import torch
from torch import nn

from archs.contract import Output
from tasks.tokenizer import N_SPECIAL


class Oracle(nn.Module):
    """Names solve(symbols up to a position) there; None: it names nothing. Any family, read in place."""

    def __init__(self, vocab_size, solve):
        super().__init__()
        self.vocab_size, self.max_len, self.solve = vocab_size, None, solve

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        assert source is None or source.equal(tokens), "the decoder re-reads the source"
        logits = torch.zeros(*tokens.shape, self.vocab_size)
        logits[..., 0] = 9.0  # a special token is no answer
        for b, row in enumerate((tokens - N_SPECIAL).tolist()):
            for t in range(len(row)):
                answer = self.solve(row[: t + 1])
                if answer is not None:
                    logits[b, t, N_SPECIAL + answer] = 5.0
        return Output(logits)

    def head(self, hidden):
        return hidden


def recall(keys, values):
    """Of keys [0, keys) and values behind them; other symbols are noise or filler."""

    def solve(seen):
        if len(seen) % 2 == 0 or seen[-1] >= keys:
            return None
        pairs = zip(seen[:-1:2], seen[1:-1:2], strict=True)
        return next((v for k, v in pairs if k == seen[-1] and keys <= v < keys + values), None)

    return solve


def parsed(seen, keys, filler):
    """[(key, value, fillers)] of strings one after another, the last perhaps unfinished."""
    pairs = []
    for symbol in seen:
        if symbol < keys:
            if not pairs or pairs[-1][1] or pairs[-1][2]:
                pairs.append(([], [], 0))
            pairs[-1][0].append(symbol)
        elif symbol == filler and pairs:
            pairs[-1] = (*pairs[-1][:2], pairs[-1][2] + 1)
        elif symbol != filler:
            pairs[-1][1].append(symbol)
    return [(tuple(key), tuple(value), fillers) for key, value, fillers in pairs]


def fuzzy(keys, filler, written):
    """written: a symbol is named one place before it stands; else at fillers behind the key."""

    def solve(seen):
        pairs = parsed(seen, keys, filler)
        if not pairs:
            return None
        *before, (key, shown, fillers) = pairs
        value = next((v for k, v, _ in before if k == key and v), ())
        place = len(shown) if written else fillers - 1
        return value[place] if 0 <= place < len(value) else None

    return solve


def selective_copying(blank, mark):
    def solve(seen):
        if mark not in seen:
            return None
        end = seen.index(mark)
        symbols, place = [s for s in seen[:end] if s != blank], len(seen) - end - 2
        return symbols[place] if place >= 0 else None

    return solve


def memorization(examples, ask):
    """Of what the training examples say."""
    pairs = {}
    for source, target, at in examples:
        pairs |= dict(zip((source[at - 1] - N_SPECIAL).tolist(), (target - N_SPECIAL).tolist(), strict=True))
    return lambda seen: pairs.get(seen[-2]) if seen[-1] == ask and len(seen) > 1 else None
