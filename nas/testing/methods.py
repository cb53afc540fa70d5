"""What every method holds, whichever paper it comes from."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map_only

from methods.method import Carry, Method
from methods.sides import with_side
from methods.table import METHODS, traits
from methods.training.scoring import error_and_loss
from methods.training.settings import TrainingSettings
from methods.training.trainer import Trainer
from nas.testing.spec import spec_of
from spaces.activation import example_input, input_shape
from spaces.memory.peak_memory import PeakMemory
from spaces.named import read_space
from spaces.notation.errors import UserError
from spaces.rules import read_decoupling
from spaces.space import SearchSpace

CPU = torch.device("cpu")
SMALL = read_space("small(width=0.5)", (3, 8, 8), 4)


def toy_batch(method: Method, size: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs x (size, *input_shape) and labels y (size,) that a method soon tells apart: noise about a colour of the class, or
    padded texts in which the class has its own words."""
    shape, classes = method.net.shapes[0], method.net.num_classes
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(size) % classes
    return input_shape(shape).toys(y, classes, generator), y


def has_ids(shape: tuple[int, ...]) -> bool:
    """Whether inputs of the shape hold ids, which a network looks up, beside or in place of numbers that it computes with."""
    return not all(tensor.is_floating_point() for tensor in tree_leaves(example_input(shape, 1, "meta")))


@dataclass(frozen=True)
class MethodCase:
    """A method on a decoupled network.

    spec        the method with its settings
    space       the space whose backbone is cut
    decoupling  where, as on the command line; a rule such as even(3) puts the method's default head at each cut
    side        what blocks are given beside the activation, None for nothing
    recipe      settings of training that differ from 30 (of texts 60) iterations of SGD
    """

    spec: str
    space: SearchSpace = SMALL
    decoupling: str = "even(3)"
    side: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def build(self, decoupling: str | None = None) -> Method:
        """A freshly initialised method; equal at every call."""
        kind = traits(self.spec)
        point = traits(self.spec).adapt(read_decoupling(decoupling or self.decoupling, self.space, kind.default_head))
        torch.manual_seed(0)
        return with_side(METHODS.build(self.spec, self.space.build(point, head_lookahead=kind.head_lookahead)), self.side)

    def settings(self, **changes: Any) -> TrainingSettings:
        """How it is trained; words learn only where they occur, so texts take more iterations."""
        usual = {"iterations": 60, "lr": 0.1} if has_ids(self.space.input_shape) else {"iterations": 30, "lr": 0.05}
        return TrainingSettings(**{**usual, **self.recipe, **changes})

    def plain(self) -> nn.Sequential:
        """The same backbone with the same weights, uncut, as anyone would write it."""
        torch.manual_seed(0)
        backbone = self.space.build_backbone()
        return nn.Sequential(*backbone.units, backbone.classifier)


def tensors(carry: Carry) -> list[torch.Tensor]:
    """All tensors that a carry holds."""
    return [leaf for leaf in tree_leaves(carry) if isinstance(leaf, torch.Tensor)]


def peak_bytes(method: Method, losses: Iterator[torch.Tensor], *, at_once: bool) -> int:
    """Bytes of the peak of one training step's forward and backward passes."""
    with PeakMemory(leave_out=method.parameters()) as memory:
        if at_once:
            sum(losses, torch.zeros(())).backward()
        else:
            for loss in losses:
                loss.backward()
    method.zero_grad(set_to_none=True)
    return memory.peak


class MethodContract:
    """K scalar losses, of which each reaches its own stage and no other; inputs left alone; exits that agree with the network's
    answer; one block's activations in memory at a time; weights that survive a file; a toy task that is learned, also in bf16.

    method             the method: a spec with its settings, or a class that can be imported
    space, input_shape the space and its inputs, of 4 classes
    decoupling         where it is cut
    side               a side input, None for none
    recipe             settings of training that learn the toy task, where 30 iterations of SGD at 0.05 do not
    uncut_is_backprop  whether a single block is to have the gradients of backprop, to the bit
    """

    method: ClassVar[str | Callable[..., Method]]
    space: ClassVar[str] = "small(width=0.5)"
    input_shape: ClassVar[tuple[int, ...]] = (3, 8, 8)
    decoupling: ClassVar[str] = "even(3)"
    side: ClassVar[str | None] = None
    recipe: ClassVar[Mapping[str, Any]] = {}
    uncut_is_backprop: ClassVar[bool] = True

    @pytest.fixture
    def case(self) -> MethodCase:
        """The method, network and settings that are checked."""
        space = read_space(self.space, self.input_shape, 4)
        return MethodCase(spec_of(self.method), space, self.decoupling, self.side, self.recipe)

    @pytest.fixture
    def uncut_case(self, case: MethodCase) -> MethodCase:
        """The same on an uncut network, which is compared with backprop."""
        if not self.uncut_is_backprop:
            pytest.skip("uncut_is_backprop is False")
        return case

    @pytest.fixture
    def built(self, case: MethodCase) -> Method:
        """The method on its network."""
        return case.build()

    def test_a_block_is_a_stage_unless_all_learn_jointly(self, case: MethodCase, built: Method) -> None:
        assert built.num_stages == (1 if traits(case.spec).end_to_end else built.net.num_blocks)

    def test_one_finite_scalar_loss_a_stage(self, built: Method) -> None:
        losses = list(built.losses(*toy_batch(built)))
        assert len(losses) == built.num_stages and len(built.net.blocks) == len(built.net.heads)
        assert [block for k in range(built.num_stages) for block in built.stages[k]] == [*range(built.net.num_blocks)]
        assert all(loss.shape == () and loss.isfinite() for loss in losses)

    def test_another_loss_of_outputs_is_used_or_refused(self, case: MethodCase, built: Method) -> None:
        """A stage that computes cross-entropy past `output_loss` would ignore it; one that has to says why in `class_labels`."""
        given: list[torch.Tensor] = []

        def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            given.append(outputs)
            return outputs.square().mean()

        built.net.loss = loss
        with suppress(UserError):
            losses = list(built.losses(*toy_batch(built)))
            assert given or traits(case.spec).class_labels
            assert all(loss.isfinite() for loss in losses)

    def test_a_loss_reaches_its_own_stage_and_no_other(self, built: Method) -> None:
        for k, loss in enumerate(built.losses(*toy_batch(built))):
            built.zero_grad(set_to_none=True)
            loss.backward()
            reached = {name for name, p in built.named_parameters() if p.grad is not None and p.grad.any()}
            own = {id(parameter) for parameter in built.stage_parameters(k)}
            assert reached == {name for name, parameter in built.named_parameters() if id(parameter) in own}

    def test_every_parameter_belongs_to_one_stage(self, built: Method) -> None:
        owned = [parameter for k in range(built.num_stages) for parameter in built.stage_parameters(k)]
        assert sorted(map(id, owned)) == sorted(id(parameter) for parameter in built.parameters() if parameter.requires_grad)

    def test_every_tensor_belongs_to_one_stage(self, built: Method) -> None:
        owned = [name for k in range(built.num_stages) for module in built.stage_modules(k) for name in module.state_dict()]
        assert len(owned) == len(built.state_dict())
        for k in range(built.num_stages):
            assert all(set(built.inference_modules(block)) <= set(built.stage_modules(k)) for block in built.stages[k])
            assert k not in built.reads(k) and set(built.reads(k)) <= set(range(built.num_stages))

    def test_inputs_and_carries_are_left_as_they_were(self, built: Method) -> None:
        x, y = toy_batch(built)
        given = x.clone(), y.clone()
        carry = built.start(x, y)
        for k in range(built.num_stages):
            before = tree_map_only(torch.Tensor, torch.clone, carry)
            following, loss = built.isolated_stage(k, carry, y)
            loss.backward()
            assert all(map(torch.equal, tensors(carry), tensors(before)))
            carry = following
        built(x)
        list(built.exits(x))
        assert torch.equal(x, given[0]) and torch.equal(y, given[1])

    def test_the_carry_does_not_depend_on_the_stages_own_update(self, built: Method) -> None:
        """So the next stage may begin while this one still runs backward."""
        x, y = toy_batch(built)
        carry, loss = built.isolated_stage(0, built.start(x, y), y)
        before = tree_map_only(torch.Tensor, torch.clone, carry)
        optimizer = torch.optim.SGD(built.stage_parameters(0), 0.5)
        loss.backward()
        optimizer.step()
        assert all(map(torch.equal, tensors(carry), tensors(before)))

    @pytest.mark.parametrize("size", [1, 5])
    def test_logits(self, built: Method, size: int) -> None:
        built.eval()
        assert built(toy_batch(built, size)[0]).shape == (size, built.net.num_classes)

    @pytest.mark.parametrize("training", [False, True])
    def test_there_is_an_exit_a_block_and_the_last_is_forward(self, case: MethodCase, training: bool) -> None:
        method = case.build().train(training)
        x, _ = toy_batch(method)
        exits = list(method.exits(x))
        assert len(exits) == method.net.num_blocks
        shown = exits if traits(case.spec).has_exit_logits else exits[-1:]
        assert all(logits.shape == (len(x), method.net.num_classes) for logits in shown)
        assert torch.equal(exits[-1], method(x))

    def test_uncut_has_the_gradients_of_backprop_to_the_bit(self, uncut_case: MethodCase) -> None:
        uncut, network = uncut_case.build("uncut"), uncut_case.plain()
        x, y = toy_batch(uncut)
        expected = self.backprop_loss(uncut, network(x), y)
        expected.backward()
        (loss,) = uncut.losses(x, y)
        loss.backward()
        assert torch.equal(loss, expected)
        for own, other in zip(uncut.parameters(), network.parameters(), strict=True):
            assert own.grad is not None and other.grad is not None and torch.equal(own.grad, other.grad)

    def test_uncut_trains_like_a_plain_loop_to_the_bit(self, uncut_case: MethodCase) -> None:
        steps, lr = 8, 0.1
        settings = TrainingSettings(
            iterations=steps, batch_size=16, lr=lr, weight_decay=1e-3, schedule="multistep(milestones=[0.5],gamma=0.1)"
        )
        uncut = uncut_case.build("uncut")
        trainer = Trainer(uncut, settings, seed=0, device=CPU)
        network = uncut_case.plain().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.SGD(network.parameters(), lr, momentum=0.9, weight_decay=1e-3, fused=True)
        for step in range(steps):
            x, y = toy_batch(uncut, seed=step)
            trainer.step(x, y, step)
            optimizer.param_groups[0]["lr"] = lr if step < 3 else lr * 0.1
            optimizer.zero_grad()
            self.backprop_loss(uncut, network(x), y).backward()
            optimizer.step()
        pairs = zip(uncut.state_dict().values(), network.state_dict().values(), strict=True)
        assert all(torch.equal(own, other) for own, other in pairs)

    @staticmethod
    def backprop_loss(method: Method, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with the method's smoothing, whose share is that of the wrong classes; PyTorch's is of all."""
        classes = logits.shape[-1]
        return F.cross_entropy(logits, y, label_smoothing=method.label_smoothing * classes / (classes - 1))

    def test_learns_a_toy_task(self, case: MethodCase, built: Method) -> None:
        """Within the iterations of its recipe; it ends once it has, which most do in a fraction of them."""
        settings = case.settings(batch_size=32)
        trainer = Trainer(built, settings, seed=0, device=CPU)
        unseen = [toy_batch(built, 64, seed=1000)]
        history: list[torch.Tensor] = []
        error, fell = 1.0, False
        for step in range(settings.iterations):
            history.append(torch.stack(trainer.step(*toy_batch(built, 32, seed=step), step)))
            if step % 10 == 9:
                error, _ = error_and_loss(built, iter(unseen), "fp32")
                fell = bool((torch.stack(history[-5:]).mean(0) < torch.stack(history[:5]).mean(0)).all())
                if error <= 0.1 and fell:
                    break
        assert error <= 0.1 and fell  # 0.75 is chance

    def test_trains_in_half_precision(self, case: MethodCase, built: Method) -> None:
        settings = case.settings(batch_size=16, precision="bf16", iterations=20)
        trainer = Trainer(built, settings, seed=0, device=CPU)
        losses, fell = [], False
        for step in range(20):
            losses.append(torch.stack(trainer.step(*toy_batch(built, seed=step), step)))
            fell = bool((losses[-1] < losses[0]).all())
            if step >= 9 and fell:
                break
        assert torch.stack(losses).isfinite().all() and fell

    def test_state_dict_survives_a_file(self, built: Method) -> None:
        Trainer(built, TrainingSettings(iterations=1, batch_size=16), seed=0, device=CPU).step(*toy_batch(built), 0)
        file = io.BytesIO()
        torch.save(built.state_dict(), file)
        file.seek(0)
        other = copy.deepcopy(built)
        for tensor in other.state_dict().values():
            tensor.zero_()
        other.load_state_dict(torch.load(file, weights_only=True))
        assert list(built.losses(*toy_batch(built))) == list(other.losses(*toy_batch(built)))
        built.eval(), other.eval()  # which reads the running statistics too
        assert torch.equal(built(toy_batch(built)[0]), other(toy_batch(built)[0]))

    def test_only_one_block_is_in_memory_at_a_time(self, built: Method) -> None:
        x, y = toy_batch(built, 64)
        carry, stages, masks = built.start(x, y), [], 0
        for k in range(built.num_stages):
            masks += sum(part.nbytes for part in tensors(carry) if not part.is_floating_point() and part is not x)
            with PeakMemory(leave_out=built.stage_parameters(k)) as memory:
                # Copies, so that what the stage is given counts for as long as it needs it; x itself is there before the step.
                carry = tree_map_only(torch.Tensor, lambda part: part if part.data_ptr() == x.data_ptr() else part.clone(), carry)
                carry, loss = built.isolated_stage(k, carry, y)
                loss.backward()
            stages.append(memory.peak)
        scalars = 16 * built.num_stages
        # Stages share a mask, copies do not; and a loss that reads no token of an LSTM's keeps in which order they were read.
        order = 8 * x.numel() if has_ids(built.net.shapes[0]) else 0
        assert peak_bytes(built, built.losses(x, y), at_once=False) == pytest.approx(max(stages), abs=scalars + masks + order)
        if built.num_stages > 1 and len(built.net.shapes[-1]) > 1:  # once tokens are pooled, the first block is nearly all
            assert max(stages) < 0.8 * peak_bytes(built, built.losses(x, y), at_once=True)


class SideContract(MethodContract):
    """A method's contract, with a side input of one's own: `side` is its spec, `method` what it is joined to."""

    method = "dgl"
    uncut_is_backprop = False
