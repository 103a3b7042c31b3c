"""The field flow: an exact density whatever the arrays return, an exact inverse, the symmetries of the lattice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from anf.flows.checkpoint import read_tensors
from anf.flows.deployed import deployed
from anf.flows.field_flow import FieldFlow, FieldFlowConfig, colour_sites
from anf.flows.field_kernels import sines
from anf.flows.flow import log_normal
from anf.flows.split import time_table
from anf.flows.tied import Orbits
from anf.lattice.actions import Graphene, Phi4
from anf.lattice.checkerboard import Checkerboard
from anf.lattice.completion import EvenHalf, completion
from anf.training.evaluation import evaluate
from anf.training.loop import TrainingConfig, TrainingDiverged, train

PHI4, WIRE = Phi4(-4.0, 5.0, (4, 4)), Graphene(0.5, 0.5, (6, 4))
BOTH = pytest.mark.parametrize("action", [PHI4, WIRE], ids=["phi4 4x4", "graphene 6x4"])


def wild_flow(action, sweeps: int = 2, dtype: torch.dtype = torch.float64) -> FieldFlow:
    """A flow whose parameters are all far from their initial values."""
    flow = FieldFlow(FieldFlowConfig(shape=action.shape, sweeps=sweeps, sines=3, cosines=2), action)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in flow.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator)
    return flow.to(dtype)


def draws(flow: FieldFlow, n: int, seed: int = 1) -> torch.Tensor:
    return flow.white(n, torch.Generator().manual_seed(seed))


def spelled_out(flow: FieldFlow, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The split on one field x (N,), site by site from the definition: its image and log |det|. Differentiable."""
    times = time_table(flow.config.sweeps, flow.config.cosines)
    shared = flow.base_layers()["kernel"].digital_weight().reshape(flow.config.cosines, flow.colours.shape[1], -1)
    place = {tuple(site): i for i, site in enumerate(flow.board.even.tolist())}
    own = times @ flow.own_time
    log_det = torch.zeros((), dtype=x.dtype)
    half_step = 0.5 / flow.config.sweeps
    colours = flow.colours.tolist()
    for sweep, row in enumerate(times):
        for c in (*range(len(colours)), *reversed(range(len(colours)))):
            shift = flow.board.even[colours[c][0]] - flow.board.even[colours[0][0]]
            seen = []
            for around in colours[1:]:
                there = [place[tuple(((flow.board.even[s] + shift) % flow.config.shape).tolist())] for s in around]
                assert not set(there) & set(colours[c])
                seen += [x[there], *torch.sin(flow.omega[:, None] * x[there])]
            seen = torch.cat(seen)
            matrix = sum(t * w for t, w in zip(row, shared, strict=True))
            inflow, old = matrix @ seen, x[colours[c]]
            drift = own[sweep, 0] * old + sum(
                w * torch.sin(o * old) for w, o in zip(own[sweep, 1:], flow.omega, strict=True)
            )
            slope = own[sweep, 0] + sum(
                w * o * torch.cos(o * old) for w, o in zip(own[sweep, 1:], flow.omega, strict=True)
            )
            x = x.index_copy(0, torch.tensor(colours[c]), old + half_step * (inflow + drift))
            log_det = log_det + torch.log(1 + half_step * slope).sum()
    return x, log_det


@BOTH
def test_log_q_is_the_base_density_over_the_autograd_jacobian(action):
    flow = wild_flow(action)
    noise = draws(flow, 1)
    image, log_q = flow.push(noise)
    start = flow.base.colour(noise)[:, 0].detach()
    spelled, log_det = spelled_out(flow, start)
    torch.testing.assert_close(image[:, 0], spelled, rtol=0, atol=1e-12)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: spelled_out(flow, flow.base.colour(z[:, None])[:, 0])[0], noise[:, 0]
    )
    assert abs(log_q[0] - (log_normal(noise)[0] - torch.linalg.slogdet(jacobian).logabsdet)) < 1e-10
    assert abs(log_det - (log_normal(noise)[0] - flow.base.log_det() - log_q[0])) < 1e-10


@BOTH
def test_inverse_undoes_the_flow_and_agrees_on_log_q(action):
    flow = wild_flow(action)
    noise = draws(flow, 40)
    image, log_q = flow.push(noise)
    again, log_q_again = flow.inverse(image)
    torch.testing.assert_close(again, noise, rtol=0, atol=1e-10)
    torch.testing.assert_close(log_q_again, log_q, rtol=0, atol=1e-10)


@BOTH
def test_log_q_of_a_sample_is_that_of_its_even_half_and_of_the_odd_half_given_it(action):
    flow = wild_flow(action)
    phi, log_q = flow.sample(20, torch.Generator().manual_seed(0))
    even, odd = flow.board.flatten(phi).split(flow.board.half)
    parts = flow.density(even) + torch.from_numpy(completion(action).log_prob(odd.numpy(), even.numpy()))
    torch.testing.assert_close(log_q, parts, rtol=0, atol=1e-9)
    torch.testing.assert_close(flow.log_prob(phi), log_q, rtol=0, atol=1e-9)


@BOTH
def test_flipping_the_sign_flips_the_image_and_keeps_log_q_to_the_last_bit(action):
    flow = wild_flow(action, dtype=torch.float32)
    noise = draws(flow, 16)
    (image, log_q), (flipped, log_q_flipped) = flow.push(noise), flow.push(-noise)
    assert torch.equal(flipped, -image)
    assert torch.equal(log_q_flipped, log_q)


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 2e-7), (np.float64, 1e-15)])
def test_sines_are_those_of_the_library_to_rounding_and_exactly_odd(dtype, error):
    x = np.concatenate([np.linspace(-12, 12, 4001), [0.0, 1e-30, 55.5]]).astype(dtype)[None]
    omega = np.array([0.7, 1.0, 5.5], dtype)
    (sine, cosine), (minus, same) = np.empty((2, 2, 3, *x.shape), dtype)
    sines(x, omega, sine, cosine)
    sines(-x, omega, minus, same)
    angle = (omega[:, None, None] * x).astype(float)
    np.testing.assert_allclose(sine, np.sin(angle), rtol=0, atol=error)
    np.testing.assert_allclose(cosine, np.cos(angle), rtol=0, atol=error)
    np.testing.assert_array_equal(minus, -sine)
    np.testing.assert_array_equal(same, cosine)


@pytest.mark.parametrize(("shape", "by"), [((8, 8), (4, 0)), ((8, 8), (4, 4)), ((6, 6), (3, 3)), ((6, 8), (0, 4))])
def test_translations_that_keep_the_colours_commute_with_the_flow(shape, by):
    flow = wild_flow(Phi4(-4.0, 5.0, shape))
    noise = draws(flow, 3)
    place = {tuple(site): i for i, site in enumerate(flow.board.even.tolist())}
    moved = [place[(x + by[0]) % shape[0], (y + by[1]) % shape[1]] for x, y in flow.board.even.tolist()]
    (image, log_q), (moved_image, moved_log_q) = flow.push(noise), flow.push(noise[moved])
    torch.testing.assert_close(moved_image, image[moved], rtol=0, atol=1e-12)
    torch.testing.assert_close(moved_log_q, log_q, rtol=0, atol=1e-12)


def add_wild_lora(flow: FieldFlow) -> FieldFlow:
    flow.add_lora(1, seed=2)
    with torch.no_grad():
        for layer in flow.base_layers().values():
            assert layer.lora is not None
            layer.lora.b += 0.1
    return flow.double()


@BOTH
@pytest.mark.parametrize("lora", [False, True])
def test_the_path_gradient_is_that_of_autograd_with_the_score_held_fixed(action, lora):
    flow = add_wild_lora(wild_flow(action)) if lora else wild_flow(action)
    noise = draws(flow, 1)
    loss, log_weight = flow.path_gradient(EvenHalf(action), noise)
    loss.backward()
    found = {name: p.grad.clone() for name, p in flow.named_parameters() if p.grad is not None}

    def log_density(z: torch.Tensor) -> torch.Tensor:
        start = flow.base.colour(z[:, None])
        return log_normal(z[:, None])[0] - flow.base.log_det() - spelled_out(flow, start[:, 0])[1]

    jacobian = torch.autograd.functional.jacobian(
        lambda z: spelled_out(flow, flow.base.colour(z[:, None])[:, 0])[0], noise[:, 0]
    )
    along_noise = torch.autograd.functional.jacobian(log_density, noise[:, 0])
    score = torch.linalg.solve(jacobian.T, along_noise)
    image = spelled_out(flow, flow.base.colour(noise)[:, 0])[0]
    value, gradient = EvenHalf(action).value_and_gradient(image.detach()[:, None])
    assert abs(log_weight[0] + value[0] + log_density(noise[:, 0])) < 1e-9
    flow.zero_grad()
    ((gradient[:, 0] + score) @ image).backward()
    for name, p in flow.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[name], p.grad, rtol=1e-7, atol=1e-9, msg=name)
    assert {"kernel.values", "own_time", "omega", "base.log_amplitude"} <= set(found)


def noisy(flow: FieldFlow, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)

    def engine(layer):
        return lambda x: (y := x @ layer.weight.T) + 0.3 * torch.randn(y.shape, generator=generator, dtype=y.dtype)

    return {name: engine(layer) for name, layer in flow.base_layers().items()}


def test_with_noisy_arrays_log_q_is_exact_for_the_draw_that_was_used():
    """Each read has noise of its own, and the Jacobian is of the map with that noise held fixed."""
    flow = wild_flow(PHI4)
    noise = draws(flow, 1)

    def push(z: torch.Tensor):
        with deployed(flow, {}, noisy(flow, 7)):
            return flow.push(z)

    clean, (image, log_q) = flow.push(noise)[0], push(noise)
    assert (image - clean).abs().max() > 1e-2
    steps = 1e-5 * torch.eye(flow.sites, dtype=torch.float64)
    columns = [(push(noise + s[:, None])[0] - push(noise - s[:, None])[0])[:, 0] / 2e-5 for s in steps]
    assert abs(log_q[0] - log_normal(noise)[0] + torch.linalg.slogdet(torch.stack(columns, 1)).logabsdet) < 1e-7


def test_the_score_under_noise_belongs_to_the_same_draw():
    """Towards a flat target a loss is the score times the image's motion. Here all of the base is made wider, noise of
    the arrays held fixed: log q changes by that, and by its own dependence on the width at the same place."""
    flow, noise = wild_flow(PHI4), draws(wild_flow(PHI4), 1)

    class Flat:
        def value_and_gradient(self, x):
            return torch.zeros(x.shape[1], dtype=torch.float64), torch.zeros_like(x)

    def log_q(wider: float) -> float:
        with torch.no_grad():
            flow.base.log_amplitude += wider
        with deployed(flow, {}, noisy(flow, 7)):
            value = float(flow.push(noise)[1])
        with torch.no_grad():
            flow.base.log_amplitude -= wider
        return value

    with deployed(flow, {}, noisy(flow, 7)):
        loss, log_weight = flow.path_gradient(Flat(), noise)
    loss.backward()
    assert float(-log_weight) == pytest.approx(log_q(0.0), abs=1e-10)
    own = float((noise * noise).sum()) - flow.sites
    change = (log_q(1e-5) - log_q(-1e-5)) / 2e-5
    assert float(flow.base.log_amplitude.grad.sum()) == pytest.approx(change - own, rel=1e-6)


@BOTH
def test_the_layer_is_the_matrix_of_every_colour_and_never_sees_the_colour_that_moves(action):
    flow = wild_flow(action)
    matrices, (n_colours, m) = flow.kernel.matrices(), flow.colours.shape
    width = (1 + flow.config.sines) * m
    shared = flow.layer.weight.reshape(flow.config.cosines, m, (n_colours - 1) * width)
    for c in range(n_colours):
        others = flow.kernel.others(c)
        assert len(set(others.tolist())) == (n_colours - 1) * width
        assert not any(c * width <= column < (c + 1) * width for column in others.tolist())
        assert (matrices[:, c, :, c * width : (c + 1) * width] == 0).all()
        torch.testing.assert_close(matrices[:, c][:, :, others], shared, rtol=0, atol=0)


def test_engines_with_the_right_matrices_give_the_digital_flow():
    flow = add_wild_lora(wild_flow(PHI4))
    noise, counted = draws(flow, 4), dict.fromkeys(flow.base_layers(), 0)

    def engine(name, layer):
        def product(x):
            counted[name] += len(x)
            return x @ layer.weight.T

        return product

    with deployed(flow, {}, {name: engine(name, layer) for name, layer in flow.base_layers().items()}):
        image, log_q = flow.push(noise)
    torch.testing.assert_close(image, flow.push(noise)[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(log_q, flow.push(noise)[1], rtol=0, atol=1e-12)
    assert counted == {name: 4 * vectors for name, vectors in flow.vectors_per_sample().items()}
    with deployed(flow, {}, noisy(flow, 0)), pytest.raises(ValueError, match="engine = None first"):
        flow.inverse(image)


def test_weights_that_an_array_holds_instead_take_the_place_of_the_kernel():
    flow = wild_flow(PHI4)
    noise = draws(flow, 4)
    wrong = {name: layer.weight.detach() + 0.1 for name, layer in flow.base_layers().items()}
    with deployed(flow, wrong):
        held = flow.push(noise)[0]
    engines = {name: (lambda x, w=w: x @ w.T) for name, w in wrong.items()}
    with deployed(flow, {}, engines):
        torch.testing.assert_close(held, flow.push(noise)[0], rtol=0, atol=1e-12)
    assert (held - flow.push(noise)[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("shape", "count"), [((2, 2), 2), ((4, 4), 8), ((6, 6), 9), ((12, 8), 8), ((10, 4), 20), ((6, 4), 12)]
)
def test_colours_part_the_even_sites_evenly_and_keep_four_sites_apart(shape, count):
    board = Checkerboard(shape)
    colours = colour_sites(board)
    assert len(colours) == count
    assert sorted(colours.reshape(-1).tolist()) == list(range(board.half))
    for sites in colours:
        delta = np.abs(board.even[sites.numpy()][:, None] - board.even[sites.numpy()][None])
        distance = np.hypot(*np.moveaxis(np.minimum(delta, np.array(shape) - delta), -1, 0))
        assert distance[distance > 0].min(initial=math.inf) >= 4


def test_a_larger_lattice_takes_over_the_kernel_offset_by_offset():
    small, large = wild_flow(Phi4(-4.0, 5.0, (6, 6))), wild_flow(Phi4(-4.0, 5.0, (12, 12)))
    large.start_from(small, Phi4(-4.0, 5.0, (12, 12)))
    before, after = Orbits(small.board), Orbits(large.board)
    summed = [(f.kernel.values * o.scale * o.size).sum(-1) for f, o in ((small, before), (large, after))]
    torch.testing.assert_close(*summed)
    near, same = (o.offsets.tolist().index([2, 0]) for o in (before, after))
    assert torch.equal(small.kernel.values[..., near], large.kernel.values[..., same])
    # A field of period 6 looks the same to both.
    field = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tiled = field.repeat(2, 2)
    images = [f.base.colour(grid[tuple(f.board.even.T)][:, None])[:, 0] for f, grid in ((small, field), (large, tiled))]
    inside = [i for i, site in enumerate(large.board.even.tolist()) if max(site) < 6]
    torch.testing.assert_close(images[1][inside], images[0])


def test_a_flow_that_cannot_seed_another_is_refused():
    small, large = (FieldFlow(FieldFlowConfig(shape=s, sines=2), Phi4(-4.0, 5.0, s)) for s in ((4, 4), (8, 8)))
    with pytest.raises(ValueError, match=r"\(8, 8\) does not fit into \(4, 4\)"):
        small.start_from(large, PHI4)
    other = FieldFlow(FieldFlowConfig(shape=(4, 4), sines=3), PHI4)
    with pytest.raises(ValueError, match=r"sines = 2.*3"):
        large.start_from(other, Phi4(-4.0, 5.0, (8, 8)))


def test_a_map_of_a_site_that_folds_is_refused():
    flow = FieldFlow(FieldFlowConfig(shape=(4, 4), sweeps=1), PHI4)
    with torch.no_grad():
        flow.own_time[0, 0] = -2.5
    with pytest.raises(ValueError, match=r"smallest slope .* is -0\.25.*more sweeps than 1"):
        flow.sample(1, torch.Generator().manual_seed(0))


def test_training_that_folds_a_map_stops_and_says_what_to_change(tmp_path):
    flow = FieldFlow(FieldFlowConfig(shape=(4, 4), sweeps=1), PHI4)
    config = TrainingConfig(steps=200, batch=32, learning_rate=0.3, report_every=1, checkpoint_every=1)
    with pytest.raises(TrainingDiverged, match=r"(?s)(slope|loss).*last good state, of step \d+, is in .*state"):
        train(flow, PHI4, config, checkpoint=tmp_path / "state")
    kept = FieldFlow(FieldFlowConfig(shape=(4, 4), sweeps=1), PHI4)
    tensors, _ = read_tensors(tmp_path / "state")
    kept.load_state_dict({name.removeprefix("flow."): t for name, t in tensors.items() if name.startswith("flow.")})
    assert np.isfinite(evaluate(kept, PHI4, n=100).free_energy)


def test_a_flow_is_built_for_even_sides_and_its_own_lattice():
    with pytest.raises(ValueError, match="Ly = 5"):
        FieldFlowConfig(shape=(4, 5))
    with pytest.raises(ValueError, match=r"\(6, 4\).*\(4, 4\)"):
        FieldFlow(FieldFlowConfig(shape=(4, 4)), WIRE)


def test_training_takes_a_minute_of_a_phone_to_a_flow_that_knows_the_free_energy():
    """F of φ⁴ on 4 × 4 at λ = 5 is known to eight digits (docs/theory.md)."""
    flow = FieldFlow(FieldFlowConfig(shape=(4, 4), sweeps=4), PHI4)
    assert evaluate(flow, PHI4, n=4096).ess < 0.5
    train(flow, PHI4, TrainingConfig(steps=150, batch=256, learning_rate=2e-2, report_every=50))
    result = evaluate(flow, PHI4, n=16_384)
    assert result.ess > 0.9
    assert abs(result.free_energy + 5.67100735) < 4 * result.free_energy_error
