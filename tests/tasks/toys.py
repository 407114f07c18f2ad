"""Hand-made models with known probabilities, and a small corpus, for the tests beside this file."""

import numpy as np
import torch
from torch import nn

from archs.contract import Family, Output
from tasks.corpus import Corpus, Document
from tasks.objectives.causal import MID, SUF
from tasks.tokenizer import MASK, N_SPECIAL, SENTINELS

START = 0


def corpus(documents=40, words=120, seed=0):
    """Documents of random words, of a few letters each."""
    rng = np.random.default_rng(seed)
    vocabulary = ["".join(rng.choice(list("abcde"), size=n)) for n in rng.integers(1, 8, 50)]
    texts = [" ".join(rng.choice(vocabulary, size=words)) + "\n" for _ in range(documents)]
    return Corpus("toy", [Document(str(i), str(i), text) for i, text in enumerate(texts)], 0.2, 0.2)


class Markov(nn.Module):
    """Each family's exact predictions for text from a Markov chain over the ordinary tokens.

    Reads a prompt of any objective as a trained model would: finds the token before the one asked for and,
    where the prompt shows one, the first token behind the gap, `distance` steps on. Every special token is
    given e^30 times the weight of an ordinary one. Its hidden vectors are its logits.
    """

    def __init__(self, family, chain, gap=None):
        """chain (K, K): transition probabilities. gap: length of every gap, which a decoder cannot count."""
        super().__init__()
        self.family, self.gap = family, gap
        self.vocab_size, self.max_len = N_SPECIAL + len(chain), None
        self.chain = chain

    def ahead(self, previous, right=None, distance=1):
        p = self.chain[previous - N_SPECIAL] if previous >= N_SPECIAL else np.ones(len(self.chain))
        if right is not None and right >= N_SPECIAL:
            p = p * np.linalg.matrix_power(self.chain, distance)[:, right - N_SPECIAL]
        return np.concatenate([np.full(N_SPECIAL, 30.0), np.log(p / p.sum())])

    def forward(self, tokens, keep=None, *, source=None, source_keep=None, state=None):
        read = {
            Family.ENCODER: self.encoder,
            Family.DECODER: self.decoder,
            Family.ENCODER_DECODER: self.encoder_decoder,
        }[self.family]
        out = np.zeros((*tokens.shape, self.vocab_size))
        for b, row in enumerate(tokens.tolist()):
            row = row if keep is None else row[: int(keep[b].sum())]
            memory = None if source is None else source[b].tolist()
            if source_keep is not None:
                memory = memory[: int(source_keep[b].sum())]
            for t, arguments in read(row, memory):
                out[b, t] = self.ahead(*arguments)
        return Output(torch.from_numpy(out))

    def head(self, hidden):
        return hidden

    def encoder(self, row, _):
        for t in (t for t, token in enumerate(row) if token == MASK):
            end = next((i for i in range(t, len(row)) if row[i] != MASK), None)
            yield t, (row[t - 1],) if end is None else (row[t - 1], row[end], end - t)

    def decoder(self, row, _):
        middle = row.index(MID) if MID in row else len(row)
        for t in range(len(row)):
            if t < middle:
                yield t, (row[t],)
            else:
                suffix = row.index(SUF)
                yield (
                    t,
                    (row[suffix - 1] if t == middle else row[t], row[suffix + 1], self.gap - (t - middle)),
                )

    def encoder_decoder(self, row, source):
        assert row[0] == START
        gap = next((i for i, token in enumerate(source) if token in SENTINELS), None)
        if gap is None:
            for t in range(len(row)):
                yield t, (source[-1] if t == 0 else row[t],)
            return
        for t in range(1, len(row)):
            previous = source[gap - 1] if t == 1 else row[t]
            seen = (source[gap + 1], self.gap - (t - 1)) if gap + 1 < len(source) else ()
            yield t, (previous, *seen)
