"""Any network as a backbone: its own modules under their own names, and what it computes to the bit."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spaces.activation import Accompanied, TextShape, deviation, pooled, rows
from spaces.backbone import Backbone
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.torchvision_import import torchvision
from spaces.traced.start_weights import without_weights
from spaces.traced.traced_backbone import backbone

IMAGES = (3, 32, 32)
# name, input shape, units, the last unit's end and the classifier's first module
NETWORKS = [
    ("torchvision(name=resnet18)", IMAGES, 8),
    ("torchvision(name=vgg11_bn)", IMAGES, 8),
    ("torchvision(name=mobilenet_v3_small)", IMAGES, 12),
    ("torchvision(name=densenet121)", IMAGES, 7),
    ("torchvision(name=vit_b_16)", (3, 32, 32), 12),
    ("torchvision(name=swin_t)", (3, 32, 32), 15),
    ("timm(name=convnext_atto)", IMAGES, 15),
    ("timm(name=vit_tiny_patch16_224)", IMAGES, 12),
    ("timm(name=mixer_s32_224)", (3, 64, 64), 8),
    ("timm(name=nf_regnet_b0)", (3, 64, 64), 17),
]


def equal_to_its_model(cut: Backbone, x: object) -> None:
    """Outputs, gradients and statistics of the units, one after the other, are those of the plain model, with dropout."""
    model = cut.model
    plain = copy.deepcopy(model)
    call = (lambda net: net(**x)) if isinstance(x, dict) else (lambda net: net(x))
    for training in (True, False):
        model.train(training)
        cut.train(training)
        plain.train(training)
        torch.manual_seed(3)
        made = cut(x)
        torch.manual_seed(3)
        expected = call(plain)
        expected = getattr(expected, "logits", expected)
        assert torch.equal(made, expected)
        for net, logits in ((model, made), (plain, expected)):
            net.zero_grad()
            logits.square().sum().backward()
        theirs = dict(plain.named_parameters())
        for name, parameter in model.named_parameters():
            other = theirs[name].grad
            assert (parameter.grad is None and other is None) or torch.equal(parameter.grad, other), name
        assert all(map(torch.equal, model.buffers(), plain.buffers()))


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "shape", "units"), NETWORKS)
def test_a_library_network_is_cut_and_stays_what_it_is(spec, shape, units):
    torch.manual_seed(0)
    space = read_space(spec, shape, 7)
    cut = space.build_backbone().double()
    cut.model.double()
    assert len(cut.units) == units
    equal_to_its_model(cut, torch.randn(2, *shape, dtype=torch.double))
    names = {name.split(".", 2 if name.startswith("units") else 1)[-1] for name in cut.state_dict()}
    assert names == set(cut.model.state_dict()), "parameters keep their names"


def test_units_are_the_modules_themselves():
    model = torchvision().models.resnet18(num_classes=5)
    cut = backbone(model, torch.zeros(1, 3, 32, 32))
    assert [list(unit.state_dict())[-1].rsplit(".", 2)[0] for unit in cut.units][-1] == "layer4.1"
    assert cut.units[1].get_submodule("layer1.1") is model.layer1[1] and cut.classifier.get_submodule("fc") is model.fc
    assert {id(p) for p in cut.parameters()} == {id(p) for p in model.parameters()}
    assert cut.model is model and cut.num_classes == 5
    twin = copy.deepcopy(cut)
    assert twin.model is not model and twin.units[1].get_submodule("layer1.1") is twin.model.layer1[1]


class Plain(nn.Module):
    """Written in its forward, with dropout, numbers off shapes and a skip connection across two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.third, self.fourth = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.out = nn.Linear(8, 4)

    def forward(self, x):
        count, side = x.shape[0], x.shape[-1]
        h = self.first(x).relu_()
        h = h + self.third(self.second(h).relu())
        h = F.dropout(h, 0.5, self.training) * (side / 16)
        h = self.fourth(h)
        return self.out(h.mean((2, 3)).view(count, -1))


def test_code_between_modules_is_cut_too():
    cut = backbone(Plain().double(), torch.zeros(5, 3, 16, 16))
    assert [sorted({name.split(".")[0] for name in unit.state_dict()}) for unit in cut.units] == [
        ["first"],
        ["second", "third"],
        ["fourth"],
    ]
    equal_to_its_model(cut, torch.randn(5, 3, 16, 16, dtype=torch.double))
    with pytest.raises(UserError, match=r"cut for activations of \(6, 16, 16\), got \(6, 8, 8\)"):
        cut(torch.randn(2, 3, 8, 8, dtype=torch.double))


class Encoder(nn.Module):
    """Takes ids and a mask by name, and hands the mask to every layer."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(3))
        self.out = nn.Linear(8, 2)

    def forward(self, ids, mask):
        h, hidden = self.embedding(ids), ~mask
        for layer in self.layers:
            h = layer(h, src_key_padding_mask=hidden)
        return self.out((h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


def test_a_mask_goes_beside_the_activation():
    x = {"ids": torch.randint(20, (3, 6)), "mask": torch.ones(3, 6, dtype=torch.bool)}
    x["mask"][0, 4:] = False
    cut = backbone(Encoder(), x)
    assert len(cut.units) == 3
    handed_on = cut.units[0](x)
    assert isinstance(handed_on, Accompanied) and handed_on.values.shape == (3, 6, 8)
    equal_to_its_model(cut, x)


class Masked(Encoder):
    """The same, with Hugging Face's name of the mask."""

    def __init__(self, traceable=True):
        super().__init__()
        self.traceable = traceable

    def forward(self, ids, attention_mask):
        assert self.traceable or isinstance(attention_mask, torch.Tensor)
        return super().forward(ids, attention_mask.bool())


@pytest.mark.parametrize("units", [None, "layers.*"])
def test_heads_do_not_see_padding(units):
    """What lies at padding changes no head's pooled features, as it changes no output."""
    torch.manual_seed(0)
    x = {"ids": torch.randint(20, (3, 6)), "attention_mask": torch.ones(3, 6, dtype=torch.long)}
    x["attention_mask"][0, 4:] = 0
    other = x | {"ids": x["ids"].clone()}
    other["ids"][0, 4:] = 7
    cut = backbone(Masked(traceable=units is None), x, units=units).eval()
    h, g = x, other
    for unit in cut.units:
        h, g = unit(h), unit(g)
        assert isinstance(h, Accompanied)
        assert torch.allclose(pooled(h), pooled(g), atol=1e-6)
        assert torch.allclose(pooled(h)[0], h.values[0, :4].mean(0), atol=1e-6)
        assert torch.allclose(deviation(h, 0.0)[0], h.values[0, :4].std(0, correction=0), atol=1e-5)
    assert torch.allclose(cut.classifier(h), cut.classifier(g), atol=1e-6)
    assert torch.equal(rows(h, torch.tensor([2, 0])).mask, x["attention_mask"][[2, 0]])


def test_lengths_may_differ_where_inputs_do():
    cut = read_space("transformer", TextShape(9, 50), 3)
    assert cut.num_units == 5  # the built-in one is untouched
    space = read_space("module(path=own_texts.Texts)", TextShape(9, 50), 3)
    net = space.build(read_decoupling("even(2,head=linear)", space, None))
    for length in (9, 5):
        assert net(torch.randint(1, 50, (2, length))).shape == (2, 3)


def test_a_trace_leaves_the_network_as_it_was():
    model = Plain()
    model.fourth.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attributes = set(vars(model))
    torch.manual_seed(0)
    expected = torch.get_rng_state()
    backbone(model, torch.zeros(2, 3, 16, 16))
    assert torch.equal(torch.get_rng_state(), expected) and set(vars(model)) == attributes
    assert model.training and not model.fourth.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


class Both(nn.Module):
    """Gives two activations."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.one(x), self.two(x)


class Refused(nn.Module):
    """Two layers, and a forward that does what `how` says."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.both = Both()
        if how == "shared":
            self.third.weight = self.first.weight

    def forward(self, x):
        h = x if self.how == "beside" else self.first(x)
        if self.how == "value" and h.sum() > 0:
            h = h + 1
        if self.how == "random":
            h = h + torch.rand(4)
        if self.how == "one":
            return h
        if self.how == "beside":
            one, two = self.both(x)
            return self.third(one) * self.second(two)
        if self.how == "pair":
            return self.second(h), h
        return self.third(self.second(h))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("value", "got stuck behind gt"),
        ("random", "random numbers are drawn inside of modules, got Refused"),
        ("shared", "blocks share no parameters, got first.weight of Refused"),
        ("one", "cut between two layers at least, got Refused"),
        ("beside", r"one activation alone is alive, got Refused, in which both\[0\], both\[1\] are alive at once"),
        ("pair", "a network gives one tensor, or an output named logits or out, got a tuple of Refused"),
    ],
)
def test_what_cannot_be_cut_is_told(how, says):
    with pytest.raises(UserError, match=says):
        backbone(Refused(how), torch.zeros(2, 4))


class Passing(nn.Module):
    """Untraceable, and its last layer is given what the first block is given."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        h = first = self.first(x)
        assert isinstance(h, torch.Tensor)
        for block in self.blocks:
            h = block(h)
        return self.out(h + first)


def test_a_list_that_something_skips_is_refused():
    with pytest.raises(UserError, match="got first.weight, whose gradient does not pass blocks.1"):
        backbone(Passing(), torch.zeros(2, 4), units="blocks.*")


def test_inputs_that_a_network_cannot_take_are_told():
    with pytest.raises(UserError, match=r"inputs are of a size that the network takes, got \(3, 4, 4\), at which .* of VGG"):
        backbone(torchvision().models.vgg11(), torch.zeros(2, 3, 4, 4))


def test_units_by_name():
    model = torchvision().models.resnet18()
    x = torch.zeros(2, 3, 32, 32)
    assert len(backbone(model, x, units="layer?").units) == 4
    with pytest.raises(UserError, match=r"fits? none|which fits none"):
        backbone(model, x, units="layers.*")
    with pytest.raises(UserError, match=r"after which .* are alive"):
        backbone(model, x, units="layer1.0.conv1")


class Asking(nn.Module):
    """torch.fx cannot follow it, since its forward asks for tensors, and `by_value` nothing can. Statistics and dropout before
    and behind its blocks."""

    def __init__(self, by_value=False):
        super().__init__()
        self.by_value = by_value
        self.stem = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        self.blocks = nn.ModuleList(Scaled() for _ in range(4))
        self.offset = nn.Parameter(torch.ones(6))
        self.out = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))

    def forward(self, x):
        h = F.dropout(self.stem(x) + self.offset, 0.2, self.training)
        scale = x.abs().mean(1, keepdim=True)
        if not isinstance(h, torch.Tensor):
            raise TypeError("a tensor, please")
        if self.by_value and h.sum() > 1e9:
            h = h * 2
        for block in self.blocks:
            (h,) = block(h, scale, factor=0.5)
        return {"logits": self.out(h)}


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm, self.two = nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6)

    def forward(self, h, scale, factor):
        return (h + scale * factor * F.dropout(self.two(self.norm(self.one(h)).relu()), 0.3, self.training),)


def equal_to_asking(cut, x):
    plain = copy.deepcopy(cut.model)
    for training in (True, False):
        for net in (cut, plain):
            net.train(training)
        torch.manual_seed(3)
        made = cut(x)
        torch.manual_seed(3)
        expected = plain(x)["logits"]
        assert torch.equal(made, expected)
        for net, logits in ((cut, made), (plain, expected)):
            net.zero_grad()
            logits.square().sum().backward()
        for name, parameter in plain.named_parameters():
            assert torch.equal(cut.model.get_parameter(name).grad, parameter.grad), name
        assert all(map(torch.equal, cut.model.buffers(), plain.buffers()))


def test_torch_export_takes_over_where_torch_fx_cannot_follow():
    x = torch.randn(5, 4, dtype=torch.double)
    cut = backbone(Asking().double(), x)
    assert len(cut.units) == 4 and cut.num_classes == 3
    equal_to_asking(cut, x)
    assert {id(p) for p in cut.parameters()} == {id(p) for p in cut.model.parameters()}
    equal_to_asking(pickle.loads(pickle.dumps(cut)), x)


@pytest.mark.parametrize("by_value", [False, True])
def test_the_list_of_blocks_is_the_way_out_of_a_trace(by_value):
    x = torch.randn(5, 4, dtype=torch.double)
    if by_value:
        says = r"got stuck behind .*name the list of its blocks, units=\"layers.*torch.export says"
        with pytest.raises(UserError, match=says):
            backbone(Asking(by_value), x)
    cut = backbone(Asking(by_value).double(), x, units="blocks.*")
    assert len(cut.units) == 4 and cut.num_classes == 3
    equal_to_asking(cut, x)
    names = [name for name, _ in cut.named_parameters()]
    assert "units.0.offset" in names and "units.3.blocks.3.one.weight" in names and "classifier.out.2.weight" in names
    with pytest.raises(
        UserError,
        match="random numbers are drawn in blocks, not between them, got some behind blocks.0.one|a block is given what",
    ):
        backbone(Asking(by_value), x, units="*.one")


def test_channels_and_classes_are_fitted_and_said():
    space = read_space("module(path=own_texts.Fixed)", (1, 8, 8), 6)
    assert space.build_backbone()(torch.zeros(2, 1, 8, 8)).shape == (2, 6)
    assert [note.partition(",")[0] for note in space.template.notes] == [
        "the first layer of own_texts.Fixed",
        "the last layer of own_texts.Fixed",
    ]


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("torchvision(name=resnet99)", "unknown network of torchvision: 'resnet99'; did you mean resnet"),
        ("torchvision.models.resnet18", r"got torchvision.models.resnet18; give 'torchvision\(name=resnet18\)'"),
        ("timm(name='hf-hub:some/body')", "unknown network of timm: 'hf-hub:some/body'; there are .*, such as"),
        ("torchvision(name=vit_b_16)", r"vit_b_16 is made for inputs of \(3, 8, 8\), which failed"),
        ("torchvision(name=resnet18,weights=no.pt)", "got no.pt, which cannot be read"),
        ("module(path=os.system)", "Python's own library has not"),
        ("module(path=own_texts.needing)", "got own_texts.needing, which needs depth"),
        ("module(path=own_texts.nothing)", "network own_texts.nothing must make a Module"),
    ],
)
def test_spaces_that_do_not_hold_are_told_in_a_line(space, says):
    with pytest.raises(UserError, match=says):
        read_space(space, (3, 8, 8), 4)


def test_outputs_at_every_pixel_are_for_a_loop_of_ones_own(tmp_path, monkeypatch):
    layers = "nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.Conv2d(6, 4, 1)"
    code = f"from torch import nn\n\n\ndef net():\n    return nn.Sequential({layers})\n"
    (tmp_path / "own_segmenter.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=r"outputs \('N', 4\), got \('N', 4, 4, 4\) from .*nas.decouple"):
        read_space("module(path=own_segmenter.net)", (3, 8, 8), 4).build_backbone()


def test_weights_of_a_file_are_loaded_and_named_by_their_digest(tmp_path):
    other = read_space("module(path=own_texts.Fixed)", (3, 8, 8), 10).build_backbone().model
    torch.save(other.state_dict(), tmp_path / "w.pt")
    spec = f"module(path=own_texts.Fixed,weights='{tmp_path / 'w.pt'}')"
    space = read_space(spec, (3, 8, 8), 10)
    loaded = space.build_backbone().model
    assert all(map(torch.equal, loaded.state_dict().values(), other.state_dict().values()))
    digest = dict(space.backbone.settings)["digest"]
    assert len(digest) == 12 and str(without_weights(space.backbone)) == "module(path='own_texts.Fixed')"
    fewer = read_space(spec, (3, 8, 8), 4)
    started = fewer.build_backbone().model
    assert "the last layer of own_texts.Fixed, out, is new" in fewer.template.notes[0]
    assert torch.equal(started.body[0].weight, other.body[0].weight) and started.out.weight.shape == (4, 4)
    torch.save({**other.state_dict(), "more": torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=f"are those of the digest {digest}"):
        space.build_backbone()
    with pytest.raises(UserError, match="weights are those of a Fixed, got .* which has a more too"):
        read_space(spec, (3, 8, 8), 10).build_backbone()


class Upsampling(nn.Module):
    """A U-Net: a skip connection around two levels, and a transposed convolution with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.down = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.last = nn.Sequential(nn.Conv2d(12, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.out = nn.Conv2d(6, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, 4, H, W)."""
        h = self.first(x)
        return self.out(self.last(torch.cat([self.up(self.down(F.max_pool2d(h, 2))), h], dim=1)))


def test_a_u_net_is_cut_outside_of_its_skip_connection() -> None:
    x = torch.randn(2, 3, 8, 8)
    cut = backbone(Upsampling(), x)
    assert cut.shapes == ((3, 8, 8), (6, 8, 8), (12, 8, 8), (6, 8, 8))
    equal_to_its_model(cut, x)


def test_a_program_may_compute_in_float64_throughout() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        x = (torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8))
        for model, given in ((Upsampling(), x[0]), (Pair(), {"a": x[0], "b": x[1]})):
            cut = backbone(model, given)
            assert cut.shapes[1][0] == 6
            equal_to_its_model(cut, given)
    finally:
        torch.set_default_dtype(torch.float32)


class Pair(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 3), nn.Linear(96, 4)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Two of (N, 3, 8, 8) -> (N, 4)."""
        return self.out(self.second(self.first(torch.cat([a, b], dim=1)).relu()).relu().flatten(1))
