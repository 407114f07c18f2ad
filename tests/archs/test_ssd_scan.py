"""SSD: every backend against the definition, computed in float64."""

import subprocess
import sys
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archs.kernels import ssd

FAST = ("torch", "numba")  # chunked: plain tensor operations, and compiled passes
CHUNK = 8
NAMES = ("x", "delta", "A", "B", "C", "D", "h0")


def inputs(batch, T, H, P, G, N, seed=0, dtype=torch.float32):
    """x, delta, A, B, C, D, h0, as a freshly started Mamba-2 has them: decays from slow to fast."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    delta = torch.nn.functional.softplus(normal(batch, T, H) - 2)
    A = -1 - 15 * torch.rand(H, generator=generator, dtype=torch.float64)
    out = (normal(batch, T, H, P), delta, A, normal(batch, T, G, N), normal(batch, T, G, N), normal(H))
    return [t.to(dtype).requires_grad_() for t in (*out, normal(batch, H, P, N))]


def with_gradients(backend, args, chunk=CHUNK, seed=1):
    """y, last h, and the gradient of a random combination of both with respect to every argument."""
    y, h = ssd(*args, chunk=chunk, backend=backend)
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype) for t in (y, h)]
    return [y, h, *torch.autograd.grad([y, h], args, weights)]


def double(args):
    return [t.detach().double().requires_grad_() for t in args]


def assert_near(found, expected, tolerance):
    for name, a, b in zip(("y", "h", *NAMES), found, expected, strict=False):
        error = (a.double() - b).abs().max() / b.abs().max().clamp(min=1e-3)
        assert error <= tolerance, f"{name}: relative error {error:.1e}"


SHAPES = {
    "batch": st.integers(1, 3),
    "T": st.sampled_from([1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 37]),
    "heads": st.sampled_from([(1, 1), (4, 1), (4, 2), (4, 4), (6, 3)]),
    "P": st.sampled_from([1, 5, 16, 33]),
    "N": st.sampled_from([1, 3, 20]),
    "seed": st.integers(0, 9),
}


@settings(max_examples=40, derandomize=True)
@given(**SHAPES)
def test_chunks_equal_the_definition_in_value_gradient_and_state(batch, T, heads, P, N, seed):
    H, G = heads
    args = inputs(batch, T, H, P, G, N, seed, torch.float64)
    assert_near(with_gradients("torch", args), with_gradients("reference", args), 1e-11)


@settings(max_examples=25, derandomize=True)
@given(**SHAPES)
def test_compiled_passes_do_so_in_float32(batch, T, heads, P, N, seed):
    H, G = heads
    args = inputs(batch, T, H, P, G, N, seed)
    assert_near(with_gradients("numba", args), with_gradients("reference", double(args)), 2e-5)


@pytest.mark.parametrize("backend", FAST)
def test_at_the_sizes_of_the_paper(backend):
    args = inputs(1, 150, 2, 64, 1, 128)
    found = with_gradients(backend, args, chunk=64)
    assert_near(found, with_gradients("reference", double(args)), 1e-4)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_gradients_by_finite_differences(backend):
    args = inputs(1, 5, 2, 2, 1, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *a: ssd(*a, chunk=2, backend=backend), args)


@settings(max_examples=20, derandomize=True)
@given(chunk=st.integers(1, 80))
def test_the_chunk_makes_no_difference(chunk):
    args = inputs(2, 37, 4, 5, 2, 3, dtype=torch.float64)
    assert_near(with_gradients("torch", args, chunk), with_gradients("reference", args), 1e-11)


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=10, derandomize=True)
@given(cut=st.integers(1, 36))
def test_a_sequence_may_be_cut_anywhere(backend, cut):
    x, delta, A, B, C, D, h0 = inputs(2, 37, 4, 5, 2, 3)
    whole, last = ssd(x, delta, A, B, C, D, h0, CHUNK, backend)
    first, h = ssd(x[:, :cut], delta[:, :cut], A, B[:, :cut], C[:, :cut], D, h0, CHUNK, backend)
    second, h = ssd(x[:, cut:], delta[:, cut:], A, B[:, cut:], C[:, cut:], D, h, CHUNK, backend)
    assert_near([torch.cat([first, second], 1), h], [whole.double(), last.double()], 1e-5)


@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize("T", [1, 20])
def test_no_initial_state_means_zeros(backend, T):
    *args, h0 = inputs(2, T, 4, 5, 2, 3)
    for a, b in zip(ssd(*args, None, CHUNK, backend), ssd(*args, h0 * 0, CHUNK, backend), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("backend", FAST)
def test_either_output_alone_has_its_gradient(backend):
    args = inputs(2, 20, 4, 5, 2, 3)
    for i in (0, 1):
        needed = [t for t in args if t is not args[5] or i == 0]  # the state does not depend on D
        found = torch.autograd.grad(
            ssd(*args, chunk=CHUNK, backend=backend)[i].square().sum(), needed, allow_unused=True
        )
        wide = double(args)
        expected = torch.autograd.grad(
            ssd(*wide, backend="reference")[i].square().sum(),
            [t for t in wide if t is not wide[5] or i == 0],
            allow_unused=True,
        )
        for a, b in zip(found, expected, strict=True):
            b = torch.zeros_like(a) if b is None else b
            assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp(min=1e-3)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("size", "rate"), [(20.0, -64.0), (1e-8, -64.0), (20.0, -1e-6), (1.0, -30.0)])
def test_extreme_steps_and_decays(backend, size, rate):
    args = inputs(1, 50, 3, 4, 1, 2)
    with torch.no_grad():
        args[1].fill_(size)
        args[2].fill_(rate)
    found = with_gradients(backend, args)
    assert all(t.isfinite().all() for t in found)
    expected = with_gradients("reference", double(args))
    for i in (
        0,
        1,
        2,
        5,
        6,
        7,
        8,
    ):  # y, h and all gradients but those of delta and A, which may be 1e-6 of others
        assert_near([found[i]], [expected[i]], 1e-4)


@pytest.mark.parametrize("backend", FAST)
def test_ordinary_steps_keep_their_digits_beside_steps_that_forget_all(backend):
    args = inputs(1, 50, 3, 4, 1, 2)
    with torch.no_grad():
        args[1].fill_(0.01)
        args[1][:, :40] = 20.0
        args[2].fill_(-64.0)
    found, expected = with_gradients(backend, args), with_gradients("reference", double(args))
    assert_near([found[0][:, 41:], *found[1:]], [expected[0][:, 41:], *expected[1:]], 1e-3)


@pytest.mark.parametrize("backend", FAST)
def test_a_step_of_size_zero_leaves_the_state_bit_by_bit(backend):
    x, delta, A, B, C, D, h0 = inputs(2, 20, 4, 5, 2, 3)
    assert torch.equal(ssd(x, delta * 0, A, B, C, D, h0, CHUNK, backend)[1], h0)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("which", range(7))
def test_what_is_not_finite_stays_so_and_in_its_sequence(backend, which):
    args = inputs(2, 20, 4, 5, 2, 3)
    with torch.no_grad():
        args[which].view(-1)[-1] = float("nan")
    y, h, *gradients = with_gradients(backend, args)
    assert not y.isfinite().all()
    assert not all(g.isfinite().all() for g in gradients)
    if which not in (2, 5):  # of the second sequence
        assert y[0].isfinite().all()
        assert h[0].isfinite().all()


@pytest.mark.parametrize("backend", [None, *FAST])
def test_half_precision_is_computed_in_float32(backend):
    args = [t.detach() for t in inputs(2, 20, 4, 5, 2, 3)]
    y, h = ssd(*(t.bfloat16() for t in args), backend=backend)
    expected, _ = ssd(*(t.bfloat16().float() for t in args), backend="reference")
    assert (y.dtype, h.dtype) == (torch.bfloat16, torch.float32)
    assert (y - expected).abs().max() < 0.01 * expected.abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = ssd(*args, backend=backend)
    assert_near([y], [ssd(*args, backend="reference")[0].double()], 1e-5)


@pytest.mark.parametrize("which", range(1, 7))
def test_a_shape_that_does_not_fit_is_refused_in_one_line(which):
    args = inputs(2, 9, 4, 5, 2, 3)
    args[which] = args[which][..., :-1]
    with pytest.raises(ValueError, match="expected") as error:
        ssd(*args)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": torch.ones(2, 9, 4)}, "expected"),
        ({"B": torch.ones(2, 9, 3, 3), "C": torch.ones(2, 9, 3, 3)}, "3 groups"),
        ({"chunk": 0}, "chunk=0"),
        ({"x": torch.ones(2, 0, 4, 5)}, "T=0"),
        ({"backend": "nmba"}, "nmba"),
        ({"backend": "mamba_ssm"}, "GPU"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(change, said):
    keys = dict(zip(NAMES, inputs(2, 9, 4, 5, 2, 3), strict=True)) | change
    with pytest.raises(ValueError, match=said) as error:
        ssd(**keys)
    assert "\n" not in str(error.value)


def test_the_meta_device_gives_shapes():
    args = [t.detach().to("meta").requires_grad_() for t in inputs(2, 70, 4, 5, 2, 3)]
    y, h = ssd(*args)
    assert (y.shape, h.shape) == ((2, 70, 4, 5), (2, 4, 5, 3))
    assert torch.autograd.grad(y.sum(), args[0])[0].shape == (2, 70, 4, 5)


@pytest.mark.parametrize("given", [True, False])
def test_mamba_ssm_is_called_by_its_own_names(monkeypatch, given):
    """A stand-in with the signature that mamba_ssm documents."""

    def mamba_chunk_scan_combined(
        x, dt, A, B, C, chunk_size, D=None, initial_states=None, return_final_states=False
    ):
        assert chunk_size in (16, 32, 64)
        assert return_final_states
        return ssd(x, dt, A, B, C, D, initial_states, chunk_size, "reference")

    names = ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton", "mamba_ssm.ops.triton.ssd_combined")
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[names[-1]].mamba_chunk_scan_combined = mamba_chunk_scan_combined
    from archs.kernels.ssd_mamba_ssm import scan

    *args, h0 = inputs(2, 20, 4, 5, 2, 3)
    for chunk in (8, 16, 20, 64):
        y, h = scan(*args, h0 if given else None, chunk)
        assert_near([y, h], ssd(*double(args), h0.double() * given, backend="reference"), 1e-5)


MEMORY = """
import torch
from archs.kernels import ssd

def run(T, H=4, P=32, N=32):
    args = [torch.ones(1, T, H, P), torch.full((1, T, H), 0.1), -torch.ones(H), torch.ones(1, T, 1, N),
            torch.ones(1, T, 1, N), torch.ones(H), torch.ones(1, H, P, N)]
    args = [t.requires_grad_() for t in args]
    y, h = ssd(*args, chunk=32)
    torch.autograd.grad(y, args, torch.ones_like(y))
    return args[0].nbytes

def peak():  # of this process alone: ru_maxrss would be inherited from a fat parent
    return 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])

run(64)
before = peak()
x = run(32768)
print((peak() - before) / x)
"""


def test_memory_is_linear_in_length():
    """Peak resident memory of forward and backward in a fresh process, in units of x (P = N = chunk)."""
    process = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(process.stdout) < 20  # a (T, T) matrix would be 256 for each head, states for all tokens 32


def test_threads_make_no_difference():
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(with_gradients("numba", inputs(4, 256, 4, 32, 1, 32), chunk=64))
    finally:
        torch.set_num_threads(before)
    assert_near(results[0], [t.double() for t in results[1]], 1e-5)
