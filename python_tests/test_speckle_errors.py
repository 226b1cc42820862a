"""Broken arguments of speckle: the message names the argument, what it was and what is allowed."""

from typing import Any

import numpy as np
import pytest
import torch

from sarcore.ops import point_spread, speckle, speckle_field

X = torch.ones(2, 1, 4, 8)
Z = torch.ones(2, 1, 4, 8, dtype=torch.complex64)
NAN, INF = float("nan"), float("inf")

ARGUMENTS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    *((ValueError, "looks must be", {"looks": v}) for v in (0, 0.0, -1, -0.5, NAN, INF, -INF, 1e-50, 1e300)),
    *((TypeError, "looks must be", {"looks": v}) for v in ("4", None, 1j, ["a", "b"])),
    *((TypeError, "looks must be a number, got .*True", {"looks": v}) for v in (True, np.True_)),
    (ValueError, r"looks must be a finite number above 0, 1e-30 to 1e\+37, got 0.0", {"looks": 0}),
    (ValueError, "looks must be .* float can hold", {"looks": 10**400}),
    *((ValueError, "looks must be", {"looks": [1.0, v]}) for v in (0.0, -2.0, NAN, INF, 1e-50, 1e300)),
    *((ValueError, "looks .* one per image", {"looks": v}) for v in ([1.0], [1.0] * 3, X[:, 0, 0], Z[:, 0, 0, 0])),
    (ValueError, "looks .* one per image", {"looks": torch.tensor([True, True])}),
    (ValueError, "looks must be", {"looks": torch.tensor(0.0)}),
    (ValueError, "looks must not require a gradient", {"looks": torch.ones(2, requires_grad=True)}),
    (ValueError, "psf must not require a gradient", {"psf": torch.ones(3, requires_grad=True)}),
    *((TypeError, "seed must be an int", {"seed": v}) for v in (1.0, "1", None, True, torch.tensor(1))),
    *((ValueError, r"seed must be 0 to 2\^64 - 1", {"seed": v}) for v in (-1, 2**64, -(2**63))),
    *((ValueError, "domain must be one of .*intensity", {"domain": v}) for v in ("dB", "", None, 3)),
    *((ValueError, "texture must be", {"texture": v}) for v in (0, 0.0, -1.0, NAN, INF, 1e-50, 1e300)),
    *((TypeError, "texture must be a number", {"texture": v}) for v in ("1", [1.0])),
    *((ValueError, "index must be 0 to", {"index": v}) for v in (-1, 2**32 - 1, 2**32, [0, -1], [0, 2**32])),
    (ValueError, "index must be 0 to", {"index": torch.tensor([0, 2**64 - 1], dtype=torch.uint64)}),
    *((TypeError, "index must", {"index": v}) for v in (1.0, "1", True, [0.0, 1.0], ["a", "b"], [2**70, 0])),
    (TypeError, "index must hold integers", {"index": torch.tensor([True, False])}),
    *((ValueError, "index must have the shape", {"index": v}) for v in ([0], [0, 1, 2], torch.zeros(2, 1).long())),
    *((TypeError, "origin must be", {"origin": v}) for v in (0, (0,), (1, 2, 3), "ab", None, (1.0, 0), (0, True))),
    *((ValueError, "origin must be -2147483648 to", {"origin": v}) for v in ((2**31, 0), (0, -(2**31) - 1))),
    (ValueError, "origin must be -2147483648 to", {"origin": torch.tensor([[0, 0], [0, 2**31]])}),
    (TypeError, "origin must hold integers", {"origin": torch.zeros(2, 2)}),
    *((ValueError, "origin must have the shape", {"origin": torch.zeros(s).long()}) for s in ((2,), (1, 2), (2, 3))),
    *((TypeError, "mask must be a torch.bool", {"mask": v}) for v in (X, X.byte(), [True], True)),
    *((ValueError, "mask must broadcast", {"mask": torch.ones(s, dtype=torch.bool)}) for s in ((3,), (1, 2, 1, 4, 8))),
    *((ValueError, "psf must have an odd number of taps", {"psf": torch.ones(n)}) for n in (2, 32, 34, 35)),
    *((ValueError, "psf must have an odd number of taps", {"psf": torch.ones(s)}) for s in ((3, 4), (35, 3), (3,) * 3)),
    (ValueError, "psf must have an odd number of taps", {"psf": (torch.ones(3), torch.ones(4))}),
    *((ValueError, "psf must have finite taps", {"psf": torch.full((3,), v)}) for v in (0.0, NAN, INF)),
    *((ValueError, "psf must have finite taps", {"psf": torch.full((3, 3), v)}) for v in (0.0, NAN, INF)),
    (ValueError, "psf must have finite taps", {"psf": (torch.ones(3), torch.zeros(3))}),
    (ValueError, "psf must be separable", {"psf": torch.eye(3)}),
    *((ValueError, "psf must be one of", {"psf": v}) for v in ("boxcar", "", ("Box", 2.0))),
    *((TypeError, "oversampling must be a number", {"psf": ("box", v)}) for v in ("2", None)),
    *((ValueError, "oversampling of a", {"psf": v}) for v in (("box", 0.5), ("gaussian", 11), ("hamming", NAN))),
    *((TypeError, "psf must be a kind", {"psf": v}) for v in (3.0, ("box",), [torch.ones(3)] * 3, {"box": 2})),
    *((TypeError, "psf must hold floating-point", {"psf": torch.ones(s).int()}) for s in ((3,), (3, 3))),
    *((TypeError, "psf must hold floating-point", {"psf": v}) for v in (Z[0, 0, :3, :3], X[:0, 0, 0], (1, 2))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "arguments"), ARGUMENTS, ids=lambda v: str(v)[:60])
def test_broken_arguments_of_both_functions(error, message, arguments):
    with pytest.raises(error, match=message):
        speckle(X, **{"seed": 1, **arguments})
    if "mask" not in arguments:
        with pytest.raises(error, match=message):
            speckle_field(X.shape, **{"seed": 1, **arguments})


def test_numbers_and_arrays_of_numpy_are_taken():
    plain = speckle(X, 3.0, seed=7, index=5, origin=(1, 2))
    origin = (np.int64(1), np.int32(2))
    for looks in (np.float64(3), np.array(3.0), np.array([3.0, 3.0]), np.array([3, 3])):
        assert torch.equal(speckle(X, looks, seed=np.int64(7), index=np.int64(5), origin=origin), plain)
    assert torch.equal(speckle(X, 3, seed=np.uint64(7), index=np.array([5, 6]), origin=origin), plain)


IMAGES: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
    *((TypeError, "x must be float16.*integers have no unit.*Radiometry", X.to(t), {})
      for t in (torch.uint8, torch.uint16, torch.int16, torch.int32, torch.int64, torch.bool)),
    (TypeError, "x must be a torch.Tensor, got ndarray", X.numpy(), {}),
    (TypeError, "x must be a torch.Tensor, got list", [1.0], {}),
    *((ValueError, r"x must be \(N, C, H, W\)", torch.ones(s), {}) for s in ((), (3,), (4, 8), (1, 4, 8), (1,) * 5)),
    (ValueError, "x must be a dense tensor", X.to_sparse(), {}),
    (ValueError, "x must be a dense tensor", Z.to_sparse(), {"domain": "complex"}),
    (TypeError, "x must be real for domain='intensity'.*pass domain='complex'", Z, {}),
    (TypeError, "x must be real for domain='db'", Z, {"domain": "db"}),
    (TypeError, "x must be complex64 for domain='complex'.*torch.complex", X, {"domain": "complex"}),
    (TypeError, "x must be complex64.*complex128.*convert", Z.to(torch.complex128), {"domain": "complex"}),
    (ValueError, r"x must be \(N, C, H, W\)", Z[0], {"domain": "complex"}),
    *((ValueError, "looks must be 1 for domain='complex'.*multilook", Z, {"domain": "complex", "looks": v})
      for v in (2, 0.5, [1.0, 1.0], torch.ones(2))),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "x", "arguments"), IMAGES, ids=lambda v: str(v)[:60].replace("\n", ""))
def test_broken_images(error, message, x, arguments):
    with pytest.raises(error, match=message):
        speckle(x, seed=1, **arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("psf", [None, "box"])
def test_negative_intensities_are_refused_with_a_way_out(psf, dtype):
    x = X.to(dtype).expand(2, 1, 4, 8).clone()
    x[1, 0, 3, 7], x[0, 0, 0, 0] = -12.5, torch.nan
    for domain in ("intensity", "amplitude"):
        with pytest.raises(ValueError, match="x holds negative .*-12.5.*domain='db'.*mask"):
            speckle(x, seed=1, domain=domain, psf=psf)
        mask = x != -12.5
        found = speckle(x, seed=1, domain=domain, psf=psf, mask=mask)
        assert found[1, 0, 3, 7] == -12.5
        with pytest.raises(ValueError, match="smallest -12.5"):
            speckle(x, seed=1, domain=domain, psf=psf, mask=~mask)
    for domain in ("db", "log"):
        assert speckle(x, seed=1, domain=domain, psf=psf).isnan().sum() == 1
    assert speckle(-0.0 * X.to(dtype), seed=1).eq(0).all()


def test_a_negative_pixel_is_found_by_any_thread():
    x = torch.ones(1, 1, 700, 701)
    for place in ((0, 0), (699, 700), (350, 3)):
        y = x.clone()
        y[0, 0, place[0], place[1]] = -1
        for psf in (None, "box"):
            with pytest.raises(ValueError, match="smallest -1"):
                speckle(y, seed=1, psf=psf)


@pytest.mark.parametrize(
    ("error", "message", "shape", "options"),
    [
        (ValueError, "shape must be", (1, 4, 8), {}),
        (ValueError, "shape must be", (1, 1, 1, 4, 8), {}),
        (ValueError, "shape must be", (1, 1, -4, 8), {}),
        (ValueError, "shape must be", 5, {}),
        (ValueError, "shape must be", "abcd", {}),
        (TypeError, "shape must be an int", (1, 1, 4.0, 8), {}),
        (TypeError, "dtype must be float16", (1, 1, 4, 8), {"dtype": torch.uint8}),
        (TypeError, "dtype must be real", (1, 1, 4, 8), {"dtype": torch.complex64}),
        (TypeError, "dtype must be complex64", (1, 1, 4, 8), {"dtype": torch.float32, "domain": "complex"}),
        (TypeError, "dtype must be complex64", (1, 1, 4, 8), {"dtype": torch.complex128, "domain": "complex"}),
    ],
)
def test_broken_fields(error, message, shape, options):
    with pytest.raises(error, match=message):
        speckle_field(shape, seed=1, **options)


def test_seed_must_be_given():
    with pytest.raises(TypeError, match="seed"):
        speckle(X)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="seed"):
        speckle_field(X.shape)  # type: ignore[call-arg]


def test_broken_point_spreads():
    with pytest.raises(ValueError, match="psf must be one of"):
        point_spread("sinc")
    with pytest.raises(ValueError, match="oversampling of a box"):
        point_spread("box", 0.9)
    with pytest.raises(TypeError, match="oversampling must be a number"):
        point_spread("box", "2")  # type: ignore[arg-type]


def test_point_spreads_in_every_form_are_one():
    taps = torch.tensor([0.2, 1.0, 0.4])
    expected = speckle_field((1, 1, 20, 21), 2, seed=1, psf=(taps, taps))
    for psf in (taps, 3 * taps, taps.double(), [taps, taps]):
        torch.testing.assert_close(speckle_field((1, 1, 20, 21), 2, seed=1, psf=psf), expected, rtol=1e-5, atol=1e-6)
    for psf in (torch.outer(taps, taps), -2 * torch.outer(taps, taps)):
        torch.testing.assert_close(speckle_field((1, 1, 20, 21), 2, seed=1, psf=psf), expected, rtol=1e-5, atol=1e-6)
    one = torch.ones(1)
    wide = speckle_field((1, 1, 20, 21), 2, seed=1, psf=(one, taps))
    torch.testing.assert_close(speckle_field((1, 1, 20, 21), 2, seed=1, psf=taps[None]), wide, rtol=1e-5, atol=1e-6)
    assert torch.equal(
        speckle_field((1, 1, 9, 9), seed=1, psf="box"), speckle_field((1, 1, 9, 9), seed=1, psf=("box", 2))
    )
