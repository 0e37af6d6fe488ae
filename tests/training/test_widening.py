import pytest
import torch

from hime.model import HIME, HIMEConfig
from hime.training.widening import is_narrower, widen

SIZES = {"deformable_groups": 2, "lr_blocks": 1, "reference_blocks": 1, "reconstruction_blocks": 2}


def network(channels: int, seed: int, **changes: object) -> HIME:
    """A small network whose every weight is drawn at random, those that start at zero too."""
    torch.manual_seed(seed)
    model = HIME(HIMEConfig(channels=channels, **{**SIZES, **changes}))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.double().eval()


@pytest.mark.parametrize("alignment", ["conv", "deformable"])
@pytest.mark.parametrize("fusion", ["sum", "convolution"])
@pytest.mark.parametrize("shared", [True, False])
def test_both_compute_the_same_at_first_and_further_channels_then_learn(
    alignment: str, fusion: str, shared: bool
) -> None:
    form = {"alignment": alignment, "fusion": fusion, "shared_features": shared}
    narrow, wide = network(4, 0, **form), network(10, 1, **form)
    assert is_narrower(narrow.config, wide.config)
    lr, references = torch.rand(2, 3, 9, 7).double(), torch.rand(2, 3, 3, 36, 28).double()
    assert not torch.allclose(narrow(lr, references).hr, wide(lr, references).hr, atol=1e-3)
    widen(narrow, wide)
    ours, theirs = wide(lr, references), narrow(lr, references)
    torch.testing.assert_close(ours.hr, theirs.hr)
    torch.testing.assert_close(ours.scores, theirs.scores)

    before = {name: parameter.detach().clone() for name, parameter in wide.named_parameters()}
    optimiser = torch.optim.SGD(wide.parameters(), lr=1e-3)
    for _ in range(2):  # what further channels take up reaches the picture by the second step
        optimiser.zero_grad()
        (wide(lr, references).hr - torch.rand(2, 3, 36, 28).double()).square().sum().backward()
        optimiser.step()
    for name, parameter in wide.named_parameters():
        moved = parameter.detach() != before[name]
        assert moved.any(), name
        if parameter.ndim == 4 and parameter.shape[0] == 10:
            learning = int(moved.flatten(1).any(dim=1).sum())
            assert learning > 4, f"{name}: no further channel learns"  # one may be dead behind its ReLU


def test_a_flow_guided_network_keeps_its_flow_and_does_the_same_without_references() -> None:
    narrow, wide = network(4, 0), network(10, 1, alignment="flow-guided")
    assert is_narrower(narrow.config, wide.config)
    flow = {name: weight.clone() for name, weight in wide.alignment.state_dict().items() if "flow." in name}
    widen(narrow, wide)
    assert flow
    for name, weight in flow.items():
        assert torch.equal(wide.alignment.state_dict()[name], weight)
    lr = torch.rand(1, 3, 32, 32).double()
    torch.testing.assert_close(
        wide(lr, lr.new_zeros(1, 0, 3, 128, 128)).hr, narrow(lr, lr.new_zeros(1, 0, 3, 128, 128)).hr
    )


@pytest.mark.parametrize(
    "changes",
    [{"channels": 4}, {"lr_blocks": 2}, {"scale": 8}, {"alignment": "conv"}, {"deformable_groups": 1}],
)
def test_other_networks_are_no_narrower_ones(changes: dict[str, object]) -> None:
    wide = {**SIZES, "channels": 10, **changes}
    assert not is_narrower(HIMEConfig(channels=4, **SIZES), HIMEConfig(**wide))  # type: ignore[arg-type]
