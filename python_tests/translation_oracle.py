"""One training step of CycleGAN and of Pix2Pix composed by hand, from the networks and the formulas alone."""

import copy

import torch
import torch.nn.functional as F

REAL = {
    "lsgan": lambda s: (s - 1).pow(2).mean(),
    "bce": lambda s: F.binary_cross_entropy_with_logits(s, torch.ones_like(s)),
    "hinge": lambda s: (1 - s).clamp(min=0).mean(),
}
FAKE = {
    "lsgan": lambda s: s.pow(2).mean(),
    "bce": lambda s: F.binary_cross_entropy_with_logits(s, torch.zeros_like(s)),
    "hinge": lambda s: (1 + s).clamp(min=0).mean(),
}
FOOLED = {**REAL, "hinge": lambda s: -s.mean()}


def adam(config, *networks):
    weights = [p for network in networks for p in network.parameters()]
    return torch.optim.Adam(weights, lr=config.lr, betas=config.betas, eps=config.eps)


def cyclegan_step(model, a, b):
    """The scalars of one step and the weights after it; the model is left as it is. Without pool, guard and speckle."""
    config, model = model.config, copy.deepcopy(model)
    g_ab, g_ba, d_a, d_b = model.g_ab, model.g_ba, model.d_a, model.d_b
    a, b = 2 * a - 1, 2 * b - 1
    optimizer_g, optimizer_d = adam(config, g_ab, g_ba), adam(config, d_a, d_b)
    fake_b, fake_a = g_ab(a), g_ba(b)
    parts = {
        "loss_g_ab": FOOLED[config.loss](d_b(fake_b)),
        "loss_g_ba": FOOLED[config.loss](d_a(fake_a)),
        "cycle_a": (g_ba(fake_b) - a).abs().mean(),
        "cycle_b": (g_ab(fake_a) - b).abs().mean(),
    }
    loss = parts["loss_g_ab"] + parts["loss_g_ba"] + config.lambda_cycle * (parts["cycle_a"] + parts["cycle_b"])
    if config.channels_a == config.channels_b:
        parts["identity_a"] = (g_ba(a) - a).abs().mean()
        parts["identity_b"] = (g_ab(b) - b).abs().mean()
        loss = loss + config.lambda_identity * config.lambda_cycle * (parts["identity_a"] + parts["identity_b"])
    parts["loss_g"] = loss
    optimizer_g.zero_grad()
    loss.backward()
    optimizer_g.step()
    optimizer_d.zero_grad()
    scores = {"a": (d_a(a), d_a(fake_a.detach())), "b": (d_b(b), d_b(fake_b.detach()))}
    for name, (real, fake) in scores.items():
        parts[f"loss_d_{name}"] = 0.5 * (REAL[config.loss](real) + FAKE[config.loss](fake))
        parts[f"loss_d_{name}"].backward()
    optimizer_d.step()
    parts["loss_d"] = 0.5 * (parts["loss_d_a"] + parts["loss_d_b"])
    parts["d_real"] = 0.5 * (scores["a"][0].mean() + scores["b"][0].mean())
    parts["d_fake"] = 0.5 * (scores["a"][1].mean() + scores["b"][1].mean())
    return {name: float(value.detach()) for name, value in parts.items()}, model.state_dict()


def pix2pix_step(model, a, b):
    """As `cyclegan_step`, of Pix2Pix; dropout draws from the global generator."""
    config, model = model.config, copy.deepcopy(model)
    x, y = (2 * a - 1, 2 * b - 1) if config.direction == "AtoB" else (2 * b - 1, 2 * a - 1)
    optimizer_g, optimizer_d = adam(config, model.g), adam(config, model.d)
    fake = model.g(x)
    real_scores, fake_scores = model.d(torch.cat((x, y), 1)), model.d(torch.cat((x, fake.detach()), 1))
    parts = {"loss_d": 0.5 * (REAL[config.loss](real_scores) + FAKE[config.loss](fake_scores))}
    parts |= {"d_real": real_scores.mean(), "d_fake": fake_scores.mean()}
    optimizer_d.zero_grad()
    parts["loss_d"].backward()
    optimizer_d.step()
    parts["loss_g_gan"] = FOOLED[config.loss](model.d(torch.cat((x, fake), 1)))
    parts["l1"] = (fake - y).abs().mean()
    parts["loss_g"] = parts["loss_g_gan"] + config.lambda_l1 * parts["l1"]
    optimizer_g.zero_grad()
    parts["loss_g"].backward()
    optimizer_g.step()
    return {name: float(value.detach()) for name, value in parts.items()}, model.state_dict()
