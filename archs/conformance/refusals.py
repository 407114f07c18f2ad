"""Bad input is refused: a ValueError of one line that names the argument."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from archs.conformance.subject import VOCAB, Subject, reading, tokens
from archs.contract import Family


def _refused(call: Callable[[], Any], what: str, name: str) -> None:
    __tracebackhide__ = True
    wanted = f"expected a ValueError of one line that names {name!r} (archs.inputs.check_tokens gives such)"
    try:
        call()
    except ValueError as error:
        line = str(error)
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__} ({error}), {wanted}") from error
    else:
        raise AssertionError(f"{what} was taken without a word: {wanted}")
    assert "\n" not in line, f"{what}: the message has several lines, {wanted}: {line}"
    assert name in line, f"{what}: {wanted}, not {line!r}"


class Refusals(Subject):
    def test_refuses_bad_tokens(self) -> None:
        backbone, x = self._built(), tokens(2, 4)
        read = reading(backbone)
        for what, bad in (
            (f"token {VOCAB} of a vocabulary of {VOCAB}", x.clone().index_fill(1, torch.tensor([1]), VOCAB)),
            ("token -1", x.clone().index_fill(1, torch.tensor([3]), -1)),
            ("tokens of length 0", x[:, :0]),
            ("tokens without a batch", x[0]),
            ("tokens that are no whole numbers", x.float()),
        ):
            _refused(partial(backbone, bad, **read), what, "tokens")
        if backbone.max_len is not None:
            long = tokens(2, backbone.max_len + 1)
            _refused(lambda: backbone(long, **read), f"{long.shape[1]} tokens, one past max_len", "tokens")

    def test_refuses_a_mismatched_mask(self) -> None:
        backbone, x = self._built(), tokens(2, 4)
        read = reading(backbone)
        for what, keep in (
            ("a keep mask that is too short", torch.ones(2, 3, dtype=torch.bool)),
            ("a keep mask of other rows", torch.ones(1, 4, dtype=torch.bool)),
            ("a keep mask of numbers", torch.ones(2, 4)),
        ):
            _refused(partial(backbone, x, keep, **read), what, "keep")

    def test_refuses_a_source_that_does_not_fit(self) -> None:
        backbone, x = self._built(), tokens(2, 4)
        if backbone.family != Family.ENCODER_DECODER:
            _refused(
                lambda: backbone(x, source=x),
                f"a source for a backbone of family {backbone.family}",
                "source",
            )
            return
        fits = torch.ones(2, 4, dtype=torch.bool)
        for what, bad in (
            ("no source", {}),
            ("a source of other rows", {"source": tokens(3, 4)}),
            (f"token {VOCAB} in the source", {"source": torch.full_like(x, VOCAB)}),
            ("a source of length 0", {"source": x[:, :0]}),
            ("a source_keep mask that is too short", {"source": x, "source_keep": fits[:, :3]}),
            ("a source_keep mask of numbers", {"source": x, "source_keep": fits.float()}),
        ):
            _refused(partial(backbone, x, **bad), what, "source")
        _refused(
            lambda: backbone.start(3, source=x, max_len=4), "start of 3 rows with a source of 2", "source"
        )

    def test_refuses_a_state_that_does_not_fit(self) -> None:
        backbone, x = self._built(), tokens(2, 4)
        if backbone.family == Family.ENCODER:
            _refused(lambda: backbone(x, state=()), "a state for an encoder", "state")
            return
        state = backbone.start(3, **reading(backbone, 3), max_len=4)
        _refused(lambda: backbone.step(x, state), "a state of 3 rows for tokens of 2", "state")

    def test_a_state_without_room_is_no_silent_error(self) -> None:
        """More tokens than start(max_len=...) made room for: refused, or right all the same."""
        backbone, x = self._made(), tokens(2, 5)
        self._skip(backbone, Family.ENCODER, "carries no state")

        def hidden(max_len: int) -> Tensor:
            state = backbone.start(2, **reading(backbone), max_len=max_len, dtype=self.dtype)
            out: Tensor = backbone.step(x[:, 3:], backbone.step(x[:, :3], state).state).hidden
            return out

        with torch.no_grad():
            try:
                found = hidden(3)
            except ValueError as error:
                refusal = str(error)
            else:
                what = "5 tokens with a state of start(max_len=3), and of start(max_len=5)"
                self._equal(found, hidden(5), what, "Refuse them, naming max_len.")
                return
        assert "max_len" in refusal, f"max_len is not named where its room is used up: {refusal}"
