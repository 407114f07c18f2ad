"""A position with keep=False changes no hidden value at a kept position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archs.conformance.subject import Subject, masks, reading, tokens

WHERE = (
    "A position with keep=False changes nothing at a kept one, wherever it stands, and kept tokens count "
    "positions (archs.contract.Backbone). Look for a key that is not masked, a position that counts pads, "
    "a convolution or recurrence that reads them."
)
S = 6  # length of the source


def padded(length: int) -> Tensor:
    """keep (6, length): holes, then pads on the right, on the left, and nothing but pads."""
    keep = masks(6, length, seed=3)
    middle = max(1, length // 2)
    keep[2], keep[3] = False, False
    keep[2, :middle], keep[3, -middle:] = True, True
    keep[4] = False
    return keep


class Padding(Subject):
    def _batch(self, backbone: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        T = self._longest(backbone)
        keep, read = padded(T), reading(backbone, 6, S)
        if read:
            read["source_keep"] = padded(S)[[0, 3, 2, 4, 1, 5]]  # a source of pads alone, too
        return tokens(6, T), keep, read

    def test_pads_change_nothing_wherever_they_stand(self) -> None:
        """Each row of a padded batch equals that row alone, without its pads."""
        backbone = self._made()
        x, keep, read = self._batch(backbone)
        with torch.no_grad():
            hidden = backbone(x, keep, **read).hidden
            for row in range(len(x)):
                alone = {}
                if read:
                    kept = read["source_keep"][row]
                    if not kept.any():
                        continue
                    alone = {"source": read["source"][row : row + 1, kept]}
                if keep[row].any():
                    expected = backbone(x[row : row + 1, keep[row]], **alone).hidden
                    shown = "".join(".x"[int(kept)] for kept in keep[row])
                    self._equal(
                        hidden[row : row + 1, keep[row]],
                        expected,
                        f"a row with pads (keep {shown}) and the same row without",
                        WHERE,
                    )

    def test_a_mask_of_nothing_is_no_mask(self) -> None:
        backbone = self._made()
        x = tokens(2, self._longest(backbone))
        read = reading(backbone)
        masked = dict(read)
        if read:
            masked["source_keep"] = torch.ones_like(read["source"], dtype=torch.bool)
        with torch.no_grad():
            self._equal(
                backbone(x, torch.ones_like(x, dtype=torch.bool), **masked).hidden,
                backbone(x, **read).hidden,
                "keep all True and keep None",
                WHERE,
            )

    def test_pads_leave_gradients_whole(self) -> None:
        """Gradients are finite, rows of nothing but pads included, and do not depend on the pads' tokens."""
        backbone = self._made()
        x, keep, read = self._batch(backbone)
        names = [name for name, p in backbone.named_parameters() if p.requires_grad]
        parameters = [p for p in backbone.parameters() if p.requires_grad]
        found = []
        for pads in (x, torch.where(keep, x, tokens(len(x), x.shape[1], seed=4))):
            hidden = backbone(pads, keep, **read).hidden
            total = (hidden * keep[..., None]).square().sum()
            found.append(torch.autograd.grad(total, parameters, allow_unused=True))
        for name, first, second in zip(names, *found, strict=True):
            if first is None or second is None:
                continue
            assert first.isfinite().all(), (
                f"the gradient of {name} is not finite in a padded batch: a softmax over nothing is NaN, and "
                "multiplying NaN by 0 does not remove it. Give a pad something to read."
            )
            self._equal(second, first, f"the gradient of {name} with other tokens under the pads", WHERE, 10)

    def test_pads_weigh_nothing_in_losses(self) -> None:
        """A backbone's own losses (Output.aux) are of kept tokens alone."""
        backbone = self._made()
        x, keep, read = self._batch(backbone)
        with torch.no_grad():
            for row in (0, 2, 3):
                alone = {"source": read["source"][row : row + 1, :2]} if read else {}
                kept = keep[row]
                padded = backbone(x[row : row + 1], keep[row : row + 1], **alone).aux
                for name, loss in backbone(x[row : row + 1, kept], **alone).aux.items():
                    self._equal(padded[name], loss, f"aux[{name!r}] with and without pads", WHERE)
