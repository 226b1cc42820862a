"""Gradients of extract_patches: numerical, against the adjoint by index, and of every pair of types."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcore import Radiometry
from sarcore.ops import PatchGrid, encode, extract_patches

PADDINGS = ["reflect", "edge", "constant"]
FLOATING = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
INDEX = [(-3, 2), (0, -4), (8, 6), (0, -4), (4, 1)]
DB = Radiometry("intensity", -40, 10, scale="db", out="float64")


def adjoint(
    gradient: torch.Tensor, shape: torch.Size, size: list[int], positions: torch.Tensor, pad: str
) -> torch.Tensor:
    """The oracle: patches of pixel numbers say where every element of the gradient belongs."""
    channels, height, width = shape
    numbers = torch.arange(1, height * width + 1).reshape(1, height, width).double()
    places = extract_patches(numbers, size, index=positions, pad=pad).long().expand_as(gradient)
    sums = gradient.new_zeros(channels, height * width + 1)
    for channel in range(channels):
        sums[channel].index_add_(0, places[:, channel].reshape(-1), gradient[:, channel].reshape(-1))
    return sums[:, 1:].reshape(shape)


@pytest.mark.parametrize("pad", PADDINGS)
@pytest.mark.parametrize("radiometry", [None, DB])
def test_gradcheck(pad, radiometry):
    x = 0.1 + torch.rand(2, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    options = {"pad": pad, "radiometry": radiometry}
    assert torch.autograd.gradcheck(lambda a: extract_patches(a, (4, 5), (3, 2), **options), x)
    assert torch.autograd.gradcheck(lambda a: extract_patches(a, (12, 5), index=INDEX, **options), x)
    assert torch.autograd.gradcheck(lambda a: extract_patches(a, (2, 1), (5, 3), **options), x)
    assert torch.autograd.gradcheck(lambda a: extract_patches(a, 3, valid=True, **options)[0], x)


sides = st.integers(1, 17)


@given(
    st.tuples(st.integers(1, 2), sides, sides),
    st.tuples(sides, sides),
    st.tuples(sides, sides),
    st.sampled_from(PADDINGS),
    st.sampled_from([torch.float64, torch.complex64]),
)
def test_a_pixel_gets_the_sum_over_its_copies(shape, size, stride, pad, dtype):
    x = torch.rand(shape, dtype=torch.float64).to(dtype).requires_grad_()
    patches = extract_patches(x, size, stride, pad=pad)
    upstream = torch.randint(-9, 10, patches.shape).to(dtype)  # sums of integers are exact in any order
    (found,) = torch.autograd.grad(patches, x, upstream)
    expected = adjoint(upstream, x.shape, list(size), PatchGrid(shape, size, stride).positions(), pad)
    assert torch.equal(found, expected)


@given(
    st.tuples(sides, sides),
    st.tuples(sides, sides),
    st.sampled_from(PADDINGS),
    st.data(),
)
def test_positions_in_any_order(shape, size, pad, data):
    position = st.tuples(st.integers(1 - size[0], shape[0] - 1), st.integers(1 - size[1], shape[1] - 1))
    index = torch.tensor(data.draw(st.lists(position, min_size=1, max_size=9)))
    x = torch.rand(1, *shape, requires_grad=True)
    patches = extract_patches(x, size, index=index, pad=pad)
    upstream = torch.randint(-9, 10, patches.shape).float()
    (found,) = torch.autograd.grad(patches, x, upstream)
    assert torch.equal(found, adjoint(upstream, x.shape, list(size), index, pad))
    shuffled = torch.randperm(len(index))
    again = extract_patches(x, size, index=index[shuffled], pad=pad)
    assert torch.equal(torch.autograd.grad(again, x, upstream[shuffled])[0], found)


@pytest.mark.parametrize("source", [*FLOATING, torch.complex64])
@pytest.mark.parametrize("out", FLOATING)
def test_gradients_of_every_type_are_those_of_encode_of_the_slices(source, out):
    unit = "complex" if source.is_complex else "intensity"
    x = (0.2 + torch.rand(1, 11, 9, generator=torch.Generator().manual_seed(1))).to(source)
    for scale in ("intensity", "db"):
        limits = (-20.0, 5.0) if scale == "db" else (0.0, 2.0)
        r = Radiometry(unit, *limits, out=str(out).removeprefix("torch."), scale=scale)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        patches = extract_patches(a, 4, 3, radiometry=r)
        upstream = torch.randn(patches.shape).to(out)
        (found,) = torch.autograd.grad(patches, a, upstream)
        # The same sums of copies, then the gradient of encode at every pixel.
        copies = extract_patches(b, 4, 3, dtype=None)
        assert found.dtype == source
        (expected,) = torch.autograd.grad(encode(copies, r), b, upstream)
        coarse = max(torch.finfo(out).eps, torch.finfo(source if not source.is_complex else torch.float32).eps)
        torch.testing.assert_close(found, expected, rtol=8 * coarse, atol=4 * coarse)


@pytest.mark.parametrize(("source", "out"), [*itertools.product(FLOATING, FLOATING)])
def test_gradients_through_a_cast(source, out):
    x = torch.rand(2, 8, 9).to(source).requires_grad_()
    patches = extract_patches(x, 4, 2, dtype=out)
    upstream = torch.randint(-3, 4, patches.shape).to(out)
    (found,) = torch.autograd.grad(patches, x, upstream)
    expected = adjoint(upstream.double(), x.shape, [4, 4], PatchGrid(x.shape, 4, 2).positions(), "reflect")
    assert torch.equal(found, expected.to(source))


def test_only_floating_patches_have_gradients_and_they_once():
    x = torch.rand(1, 9, 9, requires_grad=True)
    codes, fraction = extract_patches(x, 4, radiometry=Radiometry("intensity", 0, 1, out="uint8"), valid=True)
    assert not codes.requires_grad
    assert not fraction.requires_grad
    patches, fraction = extract_patches(x, 4, valid=True)
    assert patches.requires_grad
    assert not fraction.requires_grad
    (g,) = torch.autograd.grad((patches**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"extract_patches is differentiable once"):
        g.sum().backward()
    empty = extract_patches(x, 4, index=[])
    assert torch.equal(torch.autograd.grad(empty.sum(), x)[0], torch.zeros_like(x))


def test_memory_layouts_and_thread_counts_do_not_change_a_bit():
    x = torch.rand(2, 120, 130) + 0.1
    r = Radiometry("intensity", -20, 3, scale="db")
    index = torch.randint(-15, 110, (300, 2), generator=torch.Generator().manual_seed(0))
    before, found = torch.get_num_threads(), []
    try:
        for threads, layout in itertools.product((1, 2, 3), (torch.clone, lambda a: a.mT.contiguous().mT)):
            torch.set_num_threads(threads)
            a = layout(x).requires_grad_()
            grid = extract_patches(a, 32, 15, radiometry=r)
            crops = extract_patches(a, 16, index=index, radiometry=r, pad="edge")
            upstream = torch.linspace(-1, 1, grid.numel()).view(grid.shape).mT.contiguous().mT
            found.append((torch.autograd.grad(grid, a, upstream)[0], torch.autograd.grad((crops**2).sum(), a)[0]))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            assert torch.equal(first, second)


def test_the_gradient_is_that_of_the_positions_of_the_call():
    scene, positions = torch.rand(1, 9, 9, requires_grad=True), np.array([[0, 0]])
    patches = extract_patches(scene, 3, index=positions)
    positions[:] = 5  # the array is used again before the gradient is asked for
    patches.sum().backward()
    assert scene.grad is not None
    assert scene.grad[0, :3, :3].eq(1).all()
    assert scene.grad.sum() == 9
