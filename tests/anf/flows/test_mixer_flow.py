"""The flow: an exact density, an exact inverse, an exact symmetry, whatever its weights."""

from __future__ import annotations

import pytest
import torch

from anf.flows.flow import log_normal
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.flows.path_gradient import path_gradient_loss, push_with_score
from anf.lattice.actions import Phi4
from anf.lattice.completion import WholeLattice

AFFINE = MixerFlowConfig(
    shape=(4, 4), couplings=5, mixer=MixerConfig(channels=6, heads=2, token_hidden=5, channel_hidden=7)
)
MAPPED = MixerFlowConfig(
    shape=(4, 4), couplings=5, site_map="tanh", mixer=MixerConfig(patch=4, channels=6, channel_hidden=5)
)
WIDE = MixerFlowConfig(shape=(4, 6), couplings=4, site_map="tanh", mixer=MixerConfig(channels=4, blocks=2, features=3))
TIED = MixerConfig(window=4, channels=4, token_hidden=None, channel_hidden=5, heads=2, features=3)
EVEN = MixerFlowConfig(shape=(6, 8), couplings=5, completed=True, fitted_base=True, site_map="tanh", mixer=TIED)
SINE = MixerFlowConfig(shape=(4, 4), couplings=3, fitted_base=True, site_map="sine", mixer=TIED)
ALL = pytest.mark.parametrize(
    "config",
    [AFFINE, MAPPED, WIDE, EVEN, SINE],
    ids=["affine", "site map", "4x6, two blocks", "even half, circulant", "sine map, fitted base"],
)


def wild_flow(config: MixerFlowConfig, seed: int = 3, dtype: torch.dtype = torch.float64) -> MixerFlow:
    """A flow whose parameters are all far from their initial values."""
    flow = MixerFlow(config, seed, Phi4(-4.0, 5.0, config.shape))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in flow.parameters():
            p += 0.4 * torch.randn(p.shape, generator=generator)
    return flow.to(dtype)


def draws(flow: MixerFlow, n: int, seed: int = 1) -> torch.Tensor:
    return flow.white(n, torch.Generator().manual_seed(seed))


def image(flow: MixerFlow, x: torch.Tensor) -> torch.Tensor:
    """The flow's map, (sites, n) -> (sites, n)."""
    return flow.push(x)[0]


def pushed(flow: MixerFlow, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Configurations (n, Lx, Ly) and log q (n,) from draws of the base (sites, n)."""
    image, log_q = flow.push(x)
    return flow.board.assemble(image.split(flow.board.half)), log_q


@ALL
def test_log_q_is_the_base_density_over_the_autograd_jacobian(config):
    flow = wild_flow(config)
    x = draws(flow, 3)
    _, log_q = flow.push(x)
    for i in range(x.shape[1]):
        jacobian = torch.autograd.functional.jacobian(lambda z: image(flow, z[:, None]).reshape(-1), x[:, i])
        expected = log_normal(x)[i] - torch.linalg.slogdet(jacobian).logabsdet
        assert abs(log_q[i] - expected) < 1e-10


@ALL
def test_inverse_undoes_sample_and_agrees_on_log_q(config):
    flow = wild_flow(config)
    x = draws(flow, 50)
    image, log_q = flow.push(x)
    x_again, log_q_again = flow.inverse(image)
    torch.testing.assert_close(x_again, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(log_q_again, log_q, rtol=0, atol=1e-9)


@ALL
def test_flipping_the_sign_flips_the_sample_and_keeps_log_q_to_the_last_bit(config):
    flow = wild_flow(config, dtype=torch.float32)
    x = draws(flow, 64)
    (image, log_q), (flipped, log_q_flipped) = (flow.push(z) for z in (x, -x))
    assert torch.equal(flipped, -image)
    assert torch.equal(log_q_flipped, log_q)
    with torch.no_grad():
        assert torch.equal(flow.density(image), flow.density(-image))


def test_single_precision_moves_log_q_by_less_than_a_thousandth():
    flow = wild_flow(MAPPED, dtype=torch.float32)
    x = draws(flow, 1000)
    single = flow.push(x)[1]
    double = flow.to(torch.float64).push(x.double())[1]
    assert (single - double).abs().max() < 1e-3


def test_each_coupling_leaves_the_frozen_checkerboard_of_equation_4_alone():
    flow = wild_flow(MAPPED)
    halves = flow.split(draws(flow, 2))
    i, j = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    for step in range(MAPPED.couplings):
        before = flow.board.assemble(halves)
        halves, _ = flow.couple(halves, step)
        frozen = (i + j) % 2 != step % 2
        after = flow.board.assemble(halves)
        assert torch.equal(after[:, frozen], before[:, frozen])
        assert (after[:, ~frozen] != before[:, ~frozen]).all()


def test_moving_the_field_with_the_frame_gives_the_same_s1_and_s2():
    """In its frame the network cannot tell one step from another but by the time embedding."""
    flow = wild_flow(AFFINE)
    with torch.no_grad():
        for name, p in flow.named_parameters():
            if name.endswith("_time"):
                p[:] = p[0]
    phi = pushed(flow, draws(flow, 2))[0]

    def s1(step: int) -> torch.Tensor:
        field = torch.roll(phi, (step // 2, (step + 1) // 2), (1, 2))
        halves = flow.split(flow.board.flatten(field))
        zeros = torch.zeros_like(halves[0])
        out = flow.predict(halves[1 - step % 2], step)[0][0]
        back = flow.board.assemble((zeros, out) if step % 2 else (out, zeros))
        return torch.roll(back, (-(step // 2), -((step + 1) // 2)), (1, 2))

    for step in range(1, AFFINE.couplings):
        torch.testing.assert_close(s1(step), s1(0))


@ALL
def test_carried_score_is_the_gradient_of_log_q(config):
    flow = wild_flow(config)
    phi, log_q, score = push_with_score(flow, draws(flow, 7))
    field = phi.detach().requires_grad_()
    (expected,) = torch.autograd.grad(flow.density(field).sum(), field)
    torch.testing.assert_close(score, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_q, flow.density(phi.detach()), rtol=0, atol=1e-9)


def test_path_gradient_agrees_with_the_plain_gradient_of_the_kl_on_average():
    """Same expectation, and less variance where the flow is good: here on the parameter that scales the last step."""
    flow, action = wild_flow(MAPPED), Phi4(1.0, 0.5, (4, 4))
    path, plain = [], []
    for seed in range(25):
        x = draws(flow, 100, seed)
        for estimates, loss in (
            (path, path_gradient_loss(flow, WholeLattice(action), x)[0]),
            (plain, (lambda phi, log_q: (action(phi) + log_q).mean())(*pushed(flow, x))),
        ):
            (gradient,) = torch.autograd.grad(loss, flow.site_map.log_a)
            estimates.append(gradient[-1])
    difference = torch.stack(path) - torch.stack(plain)
    assert difference.mean().abs() < 4 * difference.std() / len(difference) ** 0.5


def noisy(layer, generator):
    def product(x):
        y = x @ layer.weight.T
        scale = 0.1 * x.square().sum(-1, keepdim=True).sqrt()
        return y + scale * torch.randn(y.shape, generator=generator, dtype=y.dtype)

    return product


def with_noise(flow: MixerFlow, seed: int) -> MixerFlow:
    generator = torch.Generator().manual_seed(seed)
    for layer in flow.base_layers().values():
        layer.engine = noisy(layer, generator)
    return flow


@ALL
def test_with_noisy_engines_log_q_is_exact_for_the_draw_that_was_used(config):
    flow = wild_flow(config)
    x = draws(flow, 1)[:, 0]
    phi, log_q = with_noise(flow, 5).push(x[:, None])
    clean = wild_flow(config).push(x[:, None])[0]
    assert (phi - clean).abs().max() > 1e-3
    jacobian = torch.autograd.functional.jacobian(lambda z: image(with_noise(flow, 5), z[:, None]).reshape(-1), x)
    expected = log_normal(x[:, None])[0] - torch.linalg.slogdet(jacobian).logabsdet
    assert abs(log_q[0] - expected) < 1e-10


@ALL
def test_with_noisy_engines_the_score_belongs_to_the_same_draw(config):
    """d log q/dx at fixed noise is the score pulled back through the Jacobian of that same draw."""
    flow = wild_flow(config)
    x = draws(flow, 1).requires_grad_()
    phi, _, score = push_with_score(with_noise(flow, 5), x)
    log_q = with_noise(flow, 5).push(x)[1]
    (along_x,) = torch.autograd.grad(log_q.sum(), x)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: image(with_noise(flow, 5), z[:, None]).reshape(-1), x.detach()[:, 0]
    )
    torch.testing.assert_close(along_x[:, 0], jacobian.T @ score.reshape(-1), rtol=1e-8, atol=1e-8)
    assert phi.shape == score.shape


def test_every_layer_is_read_once_per_coupling_with_all_its_vectors_in_one_batch():
    flow = wild_flow(AFFINE, dtype=torch.float32)
    calls: list[tuple[str, tuple[int, ...]]] = []

    def recorder(name, layer):
        def product(x):
            calls.append((name, tuple(x.shape)))
            return x @ layer.weight.T

        return product

    for name, layer in flow.base_layers().items():
        layer.engine = recorder(name, layer)
    x = draws(flow, 9)
    phi, log_q = pushed(flow, x)
    vectors = flow.vectors_per_sample()
    once = [
        (name, (9 * vectors[name] // AFFINE.couplings, layer.weight.shape[1]))
        for name, layer in flow.base_layers().items()
    ]
    assert calls == once * AFFINE.couplings
    for layer in flow.base_layers().values():
        layer.engine = None
    digital_phi, digital_log_q = pushed(flow, x)
    torch.testing.assert_close(phi, digital_phi, rtol=0, atol=1e-4)
    torch.testing.assert_close(log_q, digital_log_q, rtol=0, atol=1e-3)


def test_inverse_refuses_engines_and_foreign_shapes():
    flow = wild_flow(AFFINE)
    with pytest.raises(ValueError, match=r"\(2, 4, 6\).*\(4, 4\)"):
        flow.log_prob(torch.zeros(2, 4, 6, dtype=torch.float64))
    flow.base_layers()["embed"].engine = lambda x: x
    with pytest.raises(ValueError, match=r"embed.*engine = None"):
        flow.log_prob(torch.zeros(2, 4, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (5, 4)}, "Lx = 5.*even"),
        ({"shape": (4, 6), "mixer": MixerConfig(patch=4)}, "Ly = 6.*patch = 4"),
    ],
)
def test_a_lattice_that_patches_do_not_tile_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MixerFlowConfig(**arguments)


LOCAL = MixerConfig(window=2, channels=4, token_hidden=None, channel_hidden=5, heads=2, features=3)
SMALL, LARGE = Phi4(-4.0, 5.0, (4, 4)), Phi4(-4.0, 5.0, (8, 8))


def small_flow(lora: bool = False) -> MixerFlow:
    config = MixerFlowConfig(shape=(4, 4), couplings=3, completed=True, site_map="tanh", mixer=LOCAL)
    flow = MixerFlow(config, 0, SMALL)
    generator = torch.Generator().manual_seed(1)
    if lora:
        flow.add_lora(1)
    with torch.no_grad():
        for name, p in flow.named_parameters():
            # LoRA that keeps circulant matrices circulant: the same number everywhere.
            p += 0.2 if "w1" in name or "w2" in name else 0.3 * torch.randn(p.shape, generator=generator)
            if ".lora." in name and ("w1" in name or "w2" in name):
                p.fill_(0.3)
    return flow.double()


@pytest.mark.parametrize("lora", [False, True])
def test_on_a_field_that_repeats_the_larger_flow_repeats_what_the_small_one_does(lora):
    small = small_flow(lora)
    large = MixerFlow(small.config.model_copy(update={"shape": LARGE.shape}), 5, LARGE)
    large.start_from(small)
    large.double()
    z = small.white(6, torch.Generator().manual_seed(0))
    x, log_q = small.push(z)

    def tiled(even: torch.Tensor) -> torch.Tensor:
        field = small.board.assemble((even, torch.zeros_like(even))).tile(1, 2, 2)
        return large.board.flatten(field)[: large.sites]

    x_large, log_q_large = large.push(tiled(z))
    torch.testing.assert_close(x_large, tiled(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(log_q_large, 4 * log_q, rtol=1e-5, atol=1e-4)


def test_a_flow_cannot_start_from_a_larger_one_another_architecture_or_untied_token_mixing():
    flow = small_flow()
    large = MixerFlow(flow.config.model_copy(update={"shape": LARGE.shape}), 5, LARGE)
    with pytest.raises(ValueError, match=r"\(8, 8\) does not fit into \(4, 4\)"):
        flow.start_from(large)
    with pytest.raises(ValueError, match=r"couplings.*\(4, 3\).*must agree"):
        MixerFlow(large.config.model_copy(update={"couplings": 4}), 0, LARGE).start_from(flow)
    untied = [MixerFlow(MixerFlowConfig(shape=a.shape, mixer=MixerConfig(token_hidden=5))) for a in (SMALL, LARGE)]
    with pytest.raises(ValueError, match=r"token_hidden = 5.*circulant"):
        untied[1].start_from(untied[0])
