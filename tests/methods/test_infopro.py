"""InfoPro's stage loss, term by term, its lambdas, its decoder, and what it makes of a decoupling."""

import pytest
import torch
from torch.nn import functional as F

from methods.infopro import InfoPro
from methods.losses import supervised_contrast
from methods.parts.decoder import Decoder
from methods.parts.lambdas import DEFAULT, PUBLISHED, loss_weights
from methods.table import METHODS, traits
from spaces.decoupling import Decoupling
from spaces.named import read_space
from spaces.network import PixelScale
from spaces.notation.errors import UserError

SPACE = read_space("small(width=0.5)", (3, 8, 8), 5)
CUTS = Decoupling((1, 3, 4), ("1c2f", "linear", "0c1f(feature_dim=32)"))
PIXELS = PixelScale((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def build(spec: str, decoupling: Decoupling = CUTS) -> InfoPro:
    torch.manual_seed(0)
    method = METHODS.build(spec, SPACE.build(traits(spec).adapt(decoupling), pixels=PIXELS))
    assert isinstance(method, InfoPro)
    return method


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PIXELS.mean, PIXELS.std))
    return (pixels - mean) / std, torch.arange(12) % 5


def reconstruction(method: InfoPro, k: int, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    upsampled = F.interpolate(h, (8, 8), mode="bilinear", align_corners=True)
    found = torch.sigmoid(method.decoders[str(k)].layers(upsampled))  # type: ignore[operator]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PIXELS.mean, PIXELS.std))
    return F.binary_cross_entropy(found, (x * std + mean).clamp(0, 1))


@pytest.mark.parametrize("loss", ["softmax", "contrast"])
def test_a_stages_loss_is_the_weighted_sum_of_its_terms(loss: str) -> None:
    method = build(f"infopro(loss={loss},lambdas=[6,0.5,2,1.5])")
    (x, y), net = batch(), method.net
    losses = list(method.losses(x, y))
    h = x
    for k, (xx, xy) in enumerate([(6, 0.5), (4, 1.0), (2, 1.5)]):
        h = net.blocks[k](h).detach()
        output = net.heads[k](h)
        of_labels = F.cross_entropy(output, y) if loss == "softmax" else supervised_contrast(output, y, 0.07)
        torch.testing.assert_close(losses[k], xx * reconstruction(method, k, h, x) + xy * of_labels)
    torch.testing.assert_close(losses[3], F.cross_entropy(net.heads[3](net.blocks[3](h)), y))


@pytest.mark.parametrize(
    ("spec", "temperature"),
    [("infopro(loss=contrast,decoder=False)", 0.07), ("infopro(loss=contrast,decoder=False,temperature=0.5)", 0.5)],
)
def test_without_a_decoder_the_labels_loss_is_alone(spec: str, temperature: float) -> None:
    method, (x, y) = build(spec), batch()
    assert not method.decoders
    embedding = method.net.heads[0](method.net.blocks[0](x))
    torch.testing.assert_close(next(method.losses(x, y)), supervised_contrast(embedding, y, temperature))


def test_what_a_lambda_of_0_silences_is_left_out() -> None:
    """lambda_1 falls to 0 at the last head, which then has no decoder; lambda_2 is 0 at the first, whose head rests."""
    method = build("infopro(lambdas=[6,0,0,2])")
    assert set(method.decoders) == {"0", "1"}
    next(method.losses(*batch())).backward()
    assert all(parameter.grad is None for parameter in method.net.heads[0].parameters())
    assert all(parameter.grad is not None for parameter in method.decoders["0"].parameters())


def test_the_decoder_learns_the_image() -> None:
    """From an activation that holds the image, to a cross-entropy near the pixels' own entropy, the least there is."""
    torch.manual_seed(0)
    decoder, (x, _) = Decoder((3, 4, 4), (3, 8, 8), PIXELS), batch()
    h = F.avg_pool2d(x, 2)
    x = F.interpolate(h, (8, 8), mode="bilinear", align_corners=True)
    pixels = (x * decoder.std + decoder.mean).clamp(0, 1)
    floor = F.binary_cross_entropy(pixels, pixels)
    optimizer = torch.optim.Adam(decoder.parameters(), 0.02)
    first = decoder.loss(h, x).item() - floor
    for _ in range(150):
        optimizer.zero_grad()
        decoder.loss(h, x).backward()
        optimizer.step()
    assert 0 <= decoder.loss(h, x).item() - floor < 0.1 * first
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert decoder.loss(h, x).dtype == torch.float32


def test_inputs_whose_scale_is_not_known_are_pixels() -> None:
    decoder = Decoder((3, 8, 8), (3, 8, 8), None).eval()
    images = torch.rand(2, 3, 8, 8) * 1.5 - 0.2
    logits = decoder(images)
    expected = F.binary_cross_entropy_with_logits(logits, images.clamp(0, 1))
    torch.testing.assert_close(decoder.loss(images, images), expected)


@pytest.mark.parametrize("lambdas", ["resnet32_cifar10", (5, 0.05, 0.2, 0.5)])
def test_lambdas_go_linearly_from_the_first_head_to_the_last(lambdas: str | tuple[float, ...]) -> None:
    weights = loss_weights(lambdas, 16)
    assert len(weights) == 15 and weights[0] == (5, 0.05) and weights[14] == pytest.approx((0.2, 0.5))
    assert weights[7] == pytest.approx(((5 + 0.2) / 2, (0.05 + 0.5) / 2))


def test_two_blocks_take_the_first_pair() -> None:
    assert loss_weights("resnet32_cifar10", 2) == [(5, 1)] and loss_weights(DEFAULT, 2) == [DEFAULT[:2]]
    assert loss_weights("resnet110_svhn", 1) == []


def test_contsups_sets_differ_where_the_codes_do() -> None:
    assert (loss_weights("resnet110_svhn", 4)[2], loss_weights("resnet110_svhn_contsup", 4)[2]) == ((0.5, 1), (0.5, 0))
    assert loss_weights("resnet110_cifar10_balanced", 4)[2] == (5, 0.1)
    assert loss_weights("resnet110_cifar10_balanced_contsup", 4)[2] == (0, 0.1)


def test_every_published_set_leaves_every_block_a_loss() -> None:
    for name, sets in PUBLISHED.items():
        for num_blocks in sets:
            assert len(loss_weights(name, num_blocks)) == num_blocks - 1


def test_with_contrast_heads_give_embeddings() -> None:
    assert traits("infopro").adapt(CUTS) == CUTS
    adapted = traits("infopro(loss=contrast)").adapt(CUTS)
    embedding = "1c2f(width=1.0,feature_dim=128,embedding=True)"
    assert adapted == Decoupling(CUTS.cuts, (embedding, embedding, "0c1f(feature_dim=32,embedding=True)"))
    assert traits("infopro(loss=contrast)").adapt(adapted) == adapted == Decoupling.parse(str(adapted))
    assert InfoPro.traits(loss="softmax").has_exit_logits and not InfoPro.traits(loss="contrast").has_exit_logits


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("decoder=False,lambdas=[1,1,1,1]", "without a decoder"),
        ("lambdas=[1,2,3]", "four numbers"),
        ("lambdas=[-1,1,1,1]", "four numbers"),
        ("lambdas=[1,1,0,0]", "block 2 of 4 without a loss"),
        ("lambdas=resnet32_cifar10", "K = 2, 4, 8, 16"),
        ("lambdas=resnet23", "resnet32_cifar10"),
        ("temperature=0.1", "only of loss=contrast"),
        ("loss=contrast,temperature=0", "above 0"),
        ("loss=hinge", "softmax"),
    ],
)
def test_wrong_settings(settings: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(f"infopro({settings})", CUTS if "K = " not in message else Decoupling((1, 2), ("1c2f",) * 2))


@pytest.mark.parametrize("spec", ["infopro", "dgl", "contsup(decoder=True)"])
def test_embeddings_are_no_logits(spec: str) -> None:
    """128 features would pass for 128 classes."""
    torch.manual_seed(0)
    point = Decoupling((2,), ("1c2f(embedding=True)",))
    with pytest.raises(UserError, match="leave embedding=True out"):
        traits(spec).adapt(point)
    method = METHODS.build(spec, SPACE.build(point))  # as a head of a user's own would come
    with pytest.raises(UserError, match="takes 5 logits, one a class, got 128 numbers"):
        next(method.losses(*batch()))
