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

import math
from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sarcore.models.began_config import BEGANConfig, base_and_doublings
from sarcore.models.step import Step
from sarcore.models.step_counter import StepCounter
from sarcore.nn import HistogramLoss

_SOFTPLUS_BETA = 10.0  # on [0, 1] a plain softplus is nearly flat; this one bends below 0.2 only
_M_DECAY = 0.99  # running mean of M, so that one lucky batch is not taken for progress
_M_PROGRESS = 1e-3  # relative fall of M that counts as progress
_M_CHECK_EVERY = 100  # steps between looks at M from the host
_GRID_LATENTS = 64


def _stage(channels_in: int, channels: int, convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(convs):
        layers += [nn.Conv2d(channels_in if index == 0 else channels, channels, 3, padding=1), nn.ELU()]
    return nn.Sequential(*layers)


def _xavier_(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases, as in the reference implementation."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _inverse_output(name: str, mean: float) -> float:
    if name == "softplus":
        mean = max(mean, 1e-3)
        return mean + math.log(-math.expm1(-_SOFTPLUS_BETA * mean)) / _SOFTPLUS_BETA
    return mean


class Generator(nn.Module):
    """Map latent vectors (N, latent) to patches (N, channels, size, size); also the autoencoder's decoder.

    A linear layer to (width, base, base), then stages of 3x3 convolutions with ELU, nearest upsampling by 2
    between them, each time with the first tensor h0 concatenated, then one convolution and the output activation.

    >>> Generator(BEGANConfig(size=20, width=4))(torch.zeros(3, 64)).shape
    torch.Size([3, 1, 20, 20])
    """

    def __init__(self, config: BEGANConfig, *, data_mean: float = 0.5) -> None:
        super().__init__()
        self.base, doublings = base_and_doublings(config.size)
        self.output = config.output
        self.skip_h0 = config.skip_h0
        convs = 2 + config.extra_convs
        after_skip = 2 * config.width if config.skip_h0 else config.width
        self.project = nn.Linear(config.latent, config.width * self.base**2)
        self.stages = nn.ModuleList(
            _stage(config.width if index == 0 else after_skip, config.width, convs) for index in range(doublings + 1)
        )
        self.to_image = nn.Conv2d(config.width, config.channels, 3, padding=1)
        self.apply(_xavier_)
        if config.output_bias:
            nn.init.constant_(cast(Tensor, self.to_image.bias), _inverse_output(config.output, data_mean))

    def forward(self, z: Tensor) -> Tensor:
        h0 = self.project(z).unflatten(1, (-1, self.base, self.base))
        h = h0
        for index, stage in enumerate(self.stages):
            if index > 0:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
                if self.skip_h0:
                    h = torch.cat((h, F.interpolate(h0, size=h.shape[-2:], mode="nearest")), dim=1)
            h = stage(h)
        image: Tensor = self.to_image(h)
        if self.output == "relu":
            return F.relu(image)
        if self.output == "softplus":
            return F.softplus(image, beta=_SOFTPLUS_BETA)
        return image


class Autoencoder(nn.Module):
    """The discriminator: reconstruct patches (N, channels, size, size) through a linear bottleneck.

    The encoder starts with one 3x3 convolution, then has stages of 3x3 convolutions with ELU and n, 2n, 3n, ...
    filters with a stride-2 convolution between them; the decoder is built like the generator.

    >>> Autoencoder(BEGANConfig(size=20, width=4))(torch.zeros(3, 1, 20, 20)).shape
    torch.Size([3, 1, 20, 20])
    """

    def __init__(self, config: BEGANConfig, *, data_mean: float = 0.5) -> None:
        super().__init__()
        base, doublings = base_and_doublings(config.size)
        convs = 2 + config.extra_convs
        layers: list[nn.Module] = [nn.Conv2d(config.channels, config.width, 3, padding=1), nn.ELU()]
        channels = config.width
        for index in range(doublings + 1):
            filters = config.width * (index + 1)
            layers.append(_stage(channels, filters, convs))
            channels = filters
            if index < doublings:
                layers += [nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.ELU()]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * base**2, config.latent))
        self.encoder.apply(_xavier_)
        self.decoder = Generator(config, data_mean=data_mean)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(self.encoder(images)))


class BEGAN(nn.Module):
    """Generator, autoencoder and their equilibrium; the training state is part of ``state_dict``.

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
        self.histogram_loss = (
            HistogramLoss(bins=config.bins, omega=config.omega) if config.loss == "histogram" else None
        )
        self.steps = StepCounter()
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("loss_real_mean", torch.zeros(()))
        self.register_buffer("m_mean", torch.zeros(()))
        self.register_buffer("m_best", torch.full((), torch.inf))
        self.register_buffer("m_best_step", torch.zeros((), dtype=torch.int64))
        drawn = torch.rand(_GRID_LATENTS, config.latent, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("fixed_latent", 2.0 * drawn - 1.0)

    def latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latent vectors, uniform on (-1, 1), shape (n, latent), on the model's device."""
        drawn = torch.rand(n, self.config.latent, generator=generator, device=self.k.device, dtype=self.k.dtype)
        return 2.0 * drawn - 1.0

    def _uniform(self, n: int, generator: torch.Generator) -> Tensor:
        return 2.0 * torch.rand(n, self.config.latent, generator=generator, dtype=self.k.dtype) - 1.0

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """Return the patches (N, channels, size, size) of latent vectors (N, latent), clipped to [0, 1]."""
        return cast(Tensor, self.generator(z)).clamp(0.0, 1.0)

    def sample_grid(self, n: int) -> Tensor:
        """Return n patches in [0, 1] of latent vectors that are the same in every call; ValueError beyond 64."""
        if not 0 < n <= _GRID_LATENTS:
            raise ValueError(f"a sample grid holds 1 to {_GRID_LATENTS} patches, {n} were asked for; use generate().")
        return self.generate(self.fixed_latent[:n])

    def reconstruction_loss(self, images: Tensor) -> Tensor:
        """Return L(v) of patches v (N, channels, size, size), a scalar; v receives a gradient, too.

        L(v) = mean |D(v) - v|, or the histogram loss of the pair plus ``l1_weight`` times that mean.
        """
        dtype = torch.promote_types(images.dtype, torch.float32)  # losses in full precision under autocast
        reconstructed, images = cast(Tensor, self.discriminator(images)).to(dtype), images.to(dtype)
        if self.histogram_loss is None:
            return F.l1_loss(reconstructed, images)
        loss: Tensor = self.histogram_loss(reconstructed, images)
        if self.config.l1_weight:
            loss = loss + self.config.l1_weight * F.l1_loss(reconstructed, images)
        return loss

    def configure_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Return the Adam optimizers of "generator" and "discriminator"."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return {
            name: torch.optim.Adam(net.parameters(), self.config.lr, self.config.betas, self.config.eps)
            for name, net in networks.items()
        }

    def training_step(self, batch: tuple[Tensor, Tensor], step: Step) -> dict[str, Tensor | float]:
        """Do one step on images (N, channels, size, size) in [0, 1] of ``batch`` (the labels are not used).

        Both networks step from the same state on one draw of z, as in the reference implementation. So one forward
        and backward pass of L(G(z)) serves both: it leaves dL_G in G and dL(G(z)) in D, whose gradients times -k
        plus those of L(x) are dL_D exactly. Returns detached scalars: loss_d, loss_g, loss_real, loss_fake, M, k,
        balance, dead_fraction, lr.

        Raises ValueError where the images do not have the size and channels of the model.
        """
        images = batch[0]
        expected = (self.config.channels, self.config.size, self.config.size)
        if tuple(images.shape[1:]) != expected:
            raise ValueError(
                f"BEGAN was built for patches of {expected}, a batch of {tuple(images.shape[1:])} was given."
            )
        step.zero_grad()
        losses_real, losses_fake, dead = [], [], []
        for (z,) in step.parts(step.draw(self._uniform, images.shape[0])):
            fake = cast(Tensor, self.generator(z))
            losses_fake.append(self.reconstruction_loss(fake))
            step.backward(losses_fake[-1])
            dead.append((fake.detach() <= 0).float().mean())
        grads = [p.grad for p in self.discriminator.parameters() if p.grad is not None]
        torch._foreach_mul_(grads, -self.k)
        for (real,) in step.parts(images):
            losses_real.append(self.reconstruction_loss(real))
            step.backward(losses_real[-1])
        step.update()
        real_fake = step.average(losses_real), step.average(losses_fake)
        logs: dict[str, Tensor | float] = {**self.update_equilibrium(*real_fake)}
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
