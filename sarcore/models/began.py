"""BEGAN: a generator against an autoencoder whose reconstruction losses are held in balance.

With the reconstruction loss L(v) = loss(D(v), v) of the autoencoder D and the generator G,

    L_D     = L(x) - k L(G(z))
    L_G     = L(G(z))
    k      <- clip(k + lambda_k (gamma L(x) - L(G(z))), 0, 1)
    M       = L(x) + |gamma L(x) - L(G(z))|

Source: Berthelot, Schumm and Metz, "BEGAN: Boundary Equilibrium Generative Adversarial Networks", arXiv 1703.10717.
The histogram loss, the ReLU outputs and the deeper stages: Marmanis et al., arXiv 1711.02010.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.began_config import BEGANConfig
from sarcore.models.began_networks import Autoencoder, Generator
from sarcore.models.reflectivity import SpeckleOutput, check_labels, grid_labels
from sarcore.models.step import Step
from sarcore.models.step_counter import StepCounter
from sarcore.nn import HistogramLoss

_M_DECAY = 0.99  # running mean of M, so that one lucky batch is not taken for progress
_M_PROGRESS = 1e-3  # relative fall of M that counts as progress
_M_CHECK_EVERY = 100  # steps between looks at M from the host
_GRID_LATENTS = 64
_LOOKS_RATE = 10.0  # of the rate of the weights: their logarithm has a whole unit to go


class BEGAN(nn.Module):
    """Generator, autoencoder and their equilibrium; the training state is part of ``state_dict``.

    With ``config.classes`` both networks are told the class of each patch. With ``config.speckle`` the generator makes
    reflectivity, and what the autoencoder judges is its product with speckle.

    ``data_mean`` is the mean of the training patches in [0, 1]; it is used where ``config.output_bias`` is set.
    ``seed`` draws the fixed latent vectors of ``sample_grid``.

    >>> model = BEGAN(BEGANConfig(size=20, width=4))
    >>> model.generate(model.latent(2)).shape
    torch.Size([2, 1, 20, 20])
    """

    k: Tensor
    loss_real_mean: Tensor
    m_mean: Tensor
    m_best: Tensor
    m_best_step: Tensor
    fixed_latent: Tensor

    def __init__(self, config: BEGANConfig, *, data_mean: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.generator = Generator(config, data_mean=data_mean)
        self.discriminator = Autoencoder(config, data_mean=data_mean)
        self.speckle = SpeckleOutput.of(config)
        self.histogram_loss: HistogramLoss | None = None
        if config.loss == "histogram":
            kernel, normalize = config.histogram_kernel, config.histogram_normalize
            self.histogram_loss = HistogramLoss(config.bins, omega=config.omega, kernel=kernel, normalize=normalize)
        self.steps = StepCounter()
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("loss_real_mean", torch.zeros(()))
        self.register_buffer("m_mean", torch.zeros(()))
        self.register_buffer("m_best", torch.full((), torch.inf))
        self.register_buffer("m_best_step", torch.zeros((), dtype=torch.int64))
        drawn = torch.rand(_GRID_LATENTS, config.latent, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("fixed_latent", 2.0 * drawn - 1.0)

    def latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latent vectors, uniform on (-1, 1), shape (n, latent), on the model's device.

        A generator on the CPU gives the same ones whatever that is.
        """
        place = self.k.device if generator is None else generator.device
        drawn = torch.rand(n, self.config.latent, generator=generator, device=place, dtype=self.k.dtype)
        return (2.0 * drawn - 1.0).to(self.k.device)

    def _uniform(self, n: int, generator: torch.Generator) -> Tensor:
        return 2.0 * torch.rand(n, self.config.latent, generator=generator, dtype=self.k.dtype) - 1.0

    def paint(self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0, index: Tensor | None = None) -> Tensor:
        """Return patches as the autoencoder judges them: not clipped where there is no speckle, with gradient.

        Arguments as in ``generate``.
        """
        reflectivity = self.generator(z, check_labels(self.config, labels, len(z)))
        return cast(Tensor, self.speckle(reflectivity, index, seed=seed))

    @torch.no_grad()
    def generate(
        self, z: Tensor, labels: Tensor | None = None, *, seed: int = 0, index: Tensor | None = None
    ) -> Tensor:
        """Return the patches (N, channels, size, size) of latent vectors (N, latent), clipped to [0, 1].

        ``labels`` (N,), int64, are the classes to draw, of a model with classes. The speckle, where there is any,
        follows from ``seed`` and from ``index`` (N,), the number of each patch, by default 0 to N - 1.

        Raises ValueError for labels that are missing, of another shape or unknown, or given to a model without.
        """
        return self.paint(z, labels, seed=seed, index=index).clamp(0.0, 1.0)

    @torch.no_grad()
    def reflectivity(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        seed: int = 0,  # noqa: ARG002  # nothing here is drawn but the speckle; other models have noise inputs
        index: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return what ``generate`` multiplies with speckle, clipped to [0, 1]; arguments as there."""
        return cast(Tensor, self.generator(z, check_labels(self.config, labels, len(z)))).clamp(0.0, 1.0)

    def sample_grid(self, n: int) -> Tensor:
        """Return n patches in [0, 1] of latent vectors that are the same in every call; ValueError beyond 64.

        Of a model with classes every row of the square that the engine makes of them is of one class.
        """
        if not 0 < n <= _GRID_LATENTS:
            raise ValueError(f"a sample grid holds 1 to {_GRID_LATENTS} patches, {n} were asked for; use generate().")
        return self.generate(self.fixed_latent[:n], grid_labels(self.config, n, self.k.device))

    def reconstruction_loss(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return L(v) of patches v (N, channels, size, size), a scalar; v receives a gradient, too.

        L(v) = mean |D(v) - v|, or the histogram loss of the pair plus ``l1_weight`` times that mean.
        """
        dtype = torch.promote_types(images.dtype, torch.float32)  # losses in full precision under autocast
        reconstructed, images = cast(Tensor, self.discriminator(images, labels)).to(dtype), images.to(dtype)
        if self.histogram_loss is None:
            return F.l1_loss(reconstructed, images)
        loss: Tensor = self.histogram_loss(reconstructed, images)
        if self.config.l1_weight:
            loss = loss + self.config.l1_weight * F.l1_loss(reconstructed, images)
        return loss

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the Adam optimizers of "generator" and "discriminator"."""
        groups: dict[str, list[dict[str, Any]]] = {
            "generator": [{"params": list(self.generator.parameters())}],
            "discriminator": [{"params": list(self.discriminator.parameters())}],
        }
        if looks := list(self.speckle.parameters()):
            groups["generator"].append({"params": looks, "lr": _LOOKS_RATE * self.config.lr})
        return {
            name: torch.optim.Adam(group, self.config.lr, self.config.betas, self.config.eps)
            for name, group in groups.items()
        }

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """Do one step on images (N, channels, size, size) in [0, 1] and labels (N,) of ``batch``.

        Both networks step from the same state on one draw of z, as in the reference implementation. So one forward
        and backward pass of L(G(z)) serves both: it leaves dL_G in G and dL(G(z)) in D, whose gradients times -k
        plus those of L(x) are dL_D exactly. Returns detached scalars: loss_d, loss_g, loss_real, loss_fake, M, k,
        balance, dead_fraction, lr, and looks where they are learnt. The labels are used by a model with classes alone;
        what it draws is of the classes of the real patches.

        Raises ValueError where the images do not have the size and channels of the model.
        """
        images = batch[0]
        expected = (self.config.channels, self.config.size, self.config.size)
        if tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"BEGAN was built for patches of {expected}, a batch of {tuple(images.shape[1:])} was given."
            )
        labels = batch[1] if self.config.classes else None
        step.zero_grad()
        losses_real, losses_fake, dead = [], [], []
        drawn = step.draw(self._uniform, images.shape[0]), step.draw(self.speckle.draw, images.shape[0])
        for z, keys, *kind in step.parts(*drawn, *(() if labels is None else (labels,))):
            fake = self.paint(z, *kind, index=keys)
            losses_fake.append(self.reconstruction_loss(fake, *kind))
            step.backward(losses_fake[-1])
            dead.append((fake.detach() <= 0).float().mean())
        grads = [p.grad for p in self.discriminator.parameters() if p.grad is not None]
        torch._foreach_mul_(grads, -self.k)
        for real, *kind in step.parts(images, *(() if labels is None else (labels,))):
            losses_real.append(self.reconstruction_loss(real, *kind))
            step.backward(losses_real[-1])
        step.update()
        real_fake = step.average(losses_real), step.average(losses_fake)
        logs: dict[str, Tensor | float] = {**self.update_equilibrium(*real_fake), **self.speckle.scalars()}
        logs["dead_fraction"] = torch.stack(dead).mean()
        logs["lr"] = self._halve_lr_when_stalled(step.optimizers)
        return logs

    @torch.no_grad()
    def update_equilibrium(self, loss_real: Tensor, loss_fake: Tensor) -> dict[str, Tensor]:
        """Advance the step count, k and the record of M; return the step's scalars, k being the one it used."""
        config, step = self.config, self.steps.advance()
        balance = config.gamma * loss_real - loss_fake
        measure = loss_real + balance.abs()
        logs = {
            "loss_d": loss_real - self.k * loss_fake,
            "loss_g": loss_fake,
            "loss_real": loss_real,
            "loss_fake": loss_fake,
            "M": measure,
            "k": self.k.clone(),
            "balance": balance,
        }
        if step == 1:
            self.loss_real_mean.copy_(loss_real)
            self.m_mean.copy_(measure)
        self.loss_real_mean.lerp_(loss_real.to(self.k.dtype), 1.0 - config.k_ema)
        self.m_mean.lerp_(measure.to(self.k.dtype), 1.0 - _M_DECAY)
        drive = config.gamma - loss_fake / self.loss_real_mean if config.scale_free_k else balance
        self.k.add_(config.lambda_k * drive).clamp_(0.0, 1.0)
        better = self.m_mean < self.m_best * (1.0 - _M_PROGRESS)
        self.m_best.copy_(torch.where(better, self.m_mean, self.m_best))
        self.m_best_step.copy_(torch.where(better, self.steps.value, self.m_best_step))
        return logs

    def _halve_lr_when_stalled(self, optimizers: Mapping[str, torch.optim.Optimizer]) -> float:
        lr = float(next(iter(optimizers.values())).param_groups[0]["lr"])
        step, patience = self.steps.current, self.config.lr_patience
        if not patience or step % min(_M_CHECK_EVERY, patience) or step - int(self.m_best_step) < patience:
            return lr
        # Progress is counted from here on: at a new rate M may settle at another level.
        self.m_best.copy_(self.m_mean)
        self.m_best_step.fill_(step)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = max(0.5 * float(group["lr"]), min(self.config.lr_min, float(group["lr"])))
        return lr
