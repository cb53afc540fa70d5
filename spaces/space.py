"""A search space: a backbone, the heads that may sit at its gaps, and constraints on the cuts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from typing import Any

import torch
from torch import nn

from spaces.backbone import Backbone, Site
from spaces.backbones import BACKBONES
from spaces.cut_sets import CutSets
from spaces.decoupling import UNCUT, Decoupling
from spaces.heads import HEADS
from spaces.layers.word_embedding import WordEmbedding
from spaces.memory.in_place import keep_apart, traced_at
from spaces.network import Block, DecoupledNet, PixelScale
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.limits import check_memory
from spaces.traced.start_weights import pinned

Choices = Sequence[int | str]


class SearchSpace:
    """The decouplings of one backbone for inputs of `input_shape`: (C, H, W) of images, or a TextShape.

    num_blocks  K, a range (lowest, highest) of K, or None for any K that the gaps allow
    gaps        the cuts that are allowed, as numbers of units before the cut; None for all
    min_block   the fewest units in a block
    vectors     float32 (num_words, D): what the words of a text backbone start from; None for random vectors
    """

    def __init__(
        self,
        backbone: str,
        heads: Sequence[str],
        *,
        input_shape: tuple[int, ...],
        num_classes: int,
        num_blocks: int | tuple[int, int] | None = None,
        gaps: Sequence[int] | None = None,
        min_block: int = 1,
        vectors: torch.Tensor | None = None,
    ) -> None:
        self.backbone = self._resolved(backbone)
        self.heads = tuple(dict.fromkeys(str(HEADS.resolve(head)) for head in heads))  # each once
        self.input_shape, self.num_classes, self.vectors = input_shape, num_classes, vectors
        self.num_units = len(self.template.units)
        self._overwriting: dict[tuple[str, int], bool] = {}  # whether a head, after so many units, writes into its input
        self.min_block = min_block
        self.gaps = self._checked_gaps(gaps)
        self._check_heads()
        self.cut_sets = CutSets(self.num_units, self.gaps, min_block)
        self._num_blocks = num_blocks
        self.block_counts = self._checked_block_counts(num_blocks)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew of its settings, in another process too."""
        build = partial(
            type(self),
            str(self.backbone),
            self.heads,
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            num_blocks=self._num_blocks,
            gaps=self.gaps,
            min_block=self.min_block,
            vectors=self.vectors,
        )
        return build, ()

    @property
    def spec(self) -> Component:
        """All settings, in the notation that reads them back: `space(backbone=..., heads=[...], ...)`."""
        settings = {
            "backbone": str(self.backbone),
            "heads": self.heads,
            "num_blocks": self._num_blocks,
            "gaps": self.gaps,
            "min_block": self.min_block,
        }
        return Component("space", tuple(settings.items()))

    @cached_property
    def template(self) -> Backbone:
        """The backbone's shapes, without storage."""
        with torch.device("meta"):
            backbone = self.build_backbone()
        for name, weights in backbone.named_parameters():
            if not weights.is_meta:
                raise UserError(
                    f"a backbone makes its weights anew whenever it is called, on torch's default device, but {name} "
                    f"of {self.backbone} lies on {weights.device}; make its modules in the function, not before"
                )
        check_memory(f"the backbone {self.backbone}", backbone)
        return backbone

    @cached_property
    def size(self) -> int:
        """How many decouplings there are; `len(space)` is the same, and an OverflowError past a machine word."""
        return sum(self._count(num_blocks) for num_blocks in self.block_counts)

    def __len__(self) -> int:
        return self.size

    def sample(self, rng: random.Random) -> Decoupling:
        """One decoupling, uniform over all of them (not over coin flips for each gap)."""
        index = rng.randrange(self.size)
        for num_blocks in self.block_counts:
            if index < self._count(num_blocks):
                break
            index -= self._count(num_blocks)
        rank, index = divmod(index, len(self.heads) ** (num_blocks - 1))
        heads = []
        for _ in range(num_blocks - 1):
            index, head = divmod(index, len(self.heads))
            heads.append(self.heads[head])
        return Decoupling(self.cut_sets.unrank(num_blocks - 1, rank), tuple(heads))

    def enumerate(self) -> Iterator[Decoupling]:
        """Every decoupling once."""
        for num_blocks in self.block_counts:
            for cuts in self.cut_sets.enumerate(num_blocks - 1):
                for heads in product(self.heads, repeat=num_blocks - 1):
                    yield Decoupling(cuts, heads)

    def check(self, decoupling: Decoupling) -> None:
        """Raise a UserError, with what would be inside, unless the decoupling is a point of this space."""
        sizes = [len(block) for block in decoupling.blocks(self.num_units)]
        if decoupling.num_blocks not in self.block_counts:
            allowed = ", ".join(map(str, self.block_counts))
            raise UserError(f"this space has {allowed} blocks, but '{decoupling}' makes {decoupling.num_blocks}")
        for cut in decoupling.cuts:
            if cut not in self.gaps:
                raise UserError(f"this space cuts at {', '.join(map(str, self.gaps))}, but '{decoupling}' cuts at {cut}")
        if min(sizes) < self.min_block:
            raise UserError(f"blocks have at least {self.min_block} units here, but '{decoupling}' makes blocks of {sizes}")
        for head in decoupling.heads:
            if str(HEADS.resolve(head)) not in self.heads:
                raise UserError(f"this space has the heads {', '.join(self.heads)}, but '{decoupling}' has {head}")

    def tightened(self) -> SearchSpace:
        """The same decouplings, as a space whose gaps are those that some of them cut."""
        gaps = [gap for gap in self.gaps if any(self.cut_sets.uses(k - 1, gap) for k in self.block_counts)]
        return self._changed(gaps=gaps)

    def with_vectors(self, vectors: torch.Tensor | None) -> SearchSpace:
        """The same space, whose words start from these vectors."""
        return self._changed(vectors=vectors)

    def best_cuts(self, num_cuts: int, score: Callable[[int], float]) -> tuple[int, ...] | None:
        """The allowed set of cuts with the largest sum of scores; None if no set of `num_cuts` cuts is allowed."""
        return self.cut_sets.best(num_cuts, lambda _, gap: score(gap))

    def nearest_cuts(self, positions: Sequence[int]) -> tuple[int, ...]:
        """The allowed set of as many cuts that is nearest to `positions` (sum of distances); a UserError if none is."""
        wanted = sorted(positions)
        cuts = self.cut_sets.best(len(wanted), lambda i, gap: -abs(gap - wanted[i]))
        if cuts is None:
            raise UserError(f"the gaps {self.gaps} with blocks of at least {self.min_block} units allow no {len(wanted)} cuts")
        return cuts

    def dimensions(self) -> dict[str, Choices]:
        """The space as a sampler sees it: a name and its choices; a range is ordered, a tuple is not.

        Where K is bounded, cuts are positions, so that every point has a right number of blocks by construction;
        where K is free, each gap is `uncut` or one of the heads.
        """
        if self._num_blocks is None:
            return {f"gap_{gap}": (UNCUT, *self.heads) for gap in self.gaps}
        counts = range(self.block_counts[0], self.block_counts[-1] + 1)
        dimensions: dict[str, Choices] = {"num_blocks": counts} if len(counts) > 1 else {}
        for i in range(counts[-1] - 1):
            dimensions[f"cut_{i}"] = range(len(self.gaps))
            dimensions[f"head_{i}"] = self.heads
        return dimensions

    def encode(self, decoupling: Decoupling) -> dict[str, int | str]:
        """A point of `dimensions()` that decodes to the decoupling."""
        point = {name: choices[0] for name, choices in self.dimensions().items()}
        if self._num_blocks is None:
            return point | {f"gap_{cut}": head for cut, head in zip(decoupling.cuts, decoupling.heads, strict=True)}
        if "num_blocks" in point:
            point["num_blocks"] = decoupling.num_blocks
        for i, (cut, head) in enumerate(zip(decoupling.cuts, decoupling.heads, strict=True)):
            point |= {f"cut_{i}": self.gaps.index(cut), f"head_{i}": head}
        return point

    def decode(self, point: Mapping[str, int | str]) -> Decoupling:
        """The decoupling of a point; positions that are not allowed together move to the nearest that are."""
        if self._num_blocks is None:
            wanted = [(gap, str(point[f"gap_{gap}"])) for gap in self.gaps if point[f"gap_{gap}"] != UNCUT]
            while wanted and not self.cut_sets.count(len(wanted)):
                wanted.pop()
        else:
            num_cuts = int(point.get("num_blocks", self.block_counts[0])) - 1
            pairs = [(self.gaps[int(point[f"cut_{i}"])], str(point[f"head_{i}"])) for i in range(num_cuts)]
            wanted = sorted(pairs, key=lambda pair: pair[0])
        return Decoupling(self.nearest_cuts([gap for gap, _ in wanted]), tuple(head for _, head in wanted))

    def build_backbone(self) -> Backbone:
        """A freshly initialised backbone on the current default device."""
        backbone = BACKBONES.build(self.backbone, self.input_shape, self.num_classes)
        backbone.name = str(self.backbone)
        if self.vectors is not None:  # after everything was drawn: a seed's other weights are the same without vectors
            first = backbone.units[0]
            if not isinstance(first, WordEmbedding):
                raise UserError(
                    f"word vectors are for backbones whose first unit is a WordEmbedding, but {self.backbone} begins "
                    f"with a {type(first).__name__}; leave the task's embeddings out"
                )
            first.load_vectors(self.vectors)
        return backbone

    def another(self) -> SearchSpace:
        """A space that builds the same networks with weights drawn anew: this one, which draws them whenever it builds."""
        return self

    def build(
        self, decoupling: Decoupling, *, checkpoint_units: bool = False, head_lookahead: int = 0, pixels: PixelScale | None = None
    ) -> DecoupledNet:
        """The decoupled network. The backbone is initialised first, so it is the same for every decoupling of a seed.

        Each head is made for the activation `head_lookahead` units behind its cut. Heads need not be the space's own;
        a cut that the backbone does not have is a UserError.
        """
        decoupling.blocks(self.num_units)  # a cut that the backbone does not have is refused before anything is drawn
        backbone = self.build_backbone()
        sites = [self.site(cut + head_lookahead, backbone) for cut in decoupling.cuts]
        heads = [self.head(head, site) for head, site in zip(decoupling.heads, sites, strict=True)]
        net = self.assembled(
            decoupling,
            backbone,
            heads,
            head_shapes=[site.shape for site in sites],
            checkpoint_units=checkpoint_units,
            pixels=pixels,
            draw_another=lambda: self.another().build(
                decoupling, checkpoint_units=checkpoint_units, head_lookahead=head_lookahead, pixels=pixels
            ),
        )
        if any(parameter.is_meta for parameter in net.parameters()):
            check_memory(f"{self.backbone} with the heads of '{decoupling}'", net)
        return net

    def assembled(
        self,
        decoupling: Decoupling,
        backbone: Backbone,
        heads: Sequence[nn.Module],
        *,
        head_shapes: Sequence[tuple[int, ...]] | None = None,
        checkpoint_units: bool = False,
        pixels: PixelScale | None = None,
        draw_another: Callable[[], DecoupledNet] | None = None,
    ) -> DecoupledNet:
        """The decoupled network whose weights are those of a backbone and heads of this space: they are its own modules.

        `head_shapes` are of what the heads are given, where that is not the activation at their cuts.
        """
        units = decoupling.blocks(self.num_units)
        self.keep_head_apart(backbone.classifier, self.num_units)
        blocks = [self.block(block, backbone, checkpoint_units=checkpoint_units) for block in units]
        shapes = [self.template.shapes[gap] for gap in (0, *decoupling.cuts, self.num_units)]
        return DecoupledNet(
            blocks,
            [*heads, backbone.classifier],
            shapes=shapes,
            num_classes=self.num_classes,
            head_shapes=None if head_shapes is None else [*head_shapes, shapes[-1]],
            pixels=pixels,
            draw=backbone.draw,
            backbone=backbone,
            draw_another=draw_another,
        )

    def block(self, units: range, backbone: Backbone, *, checkpoint_units: bool = False) -> Block:
        """These units of a backbone of this space, given a copy of what they would write into: others may read it too, as the
        computation does that comes again after a checkpoint."""
        block = Block([backbone.units[i] for i in units], checkpoint_units=checkpoint_units)
        if not checkpoint_units and self.template.overwrites(units.start, units.stop):
            keep_apart(block)
        for i in units if checkpoint_units else ():
            self.keep_unit_apart(backbone, i)
        return block

    def keep_unit_apart(self, backbone: Backbone, unit: int) -> None:
        """Give a unit of a backbone of this space copies, if it writes into what it is given."""
        if self.template.overwrites(unit, unit + 1):
            keep_apart(backbone.units[unit])

    def head(self, spec: str, site: Site) -> nn.Module:
        """A head, kept apart in the same way."""
        head = HEADS.build(spec, site)
        self.keep_head_apart(head, site.gap, spec)
        return head

    def keep_head_apart(self, head: nn.Module, gap: int, spec: str = "") -> None:
        """Give the head `spec` after `gap` units, or the classifier, copies, if it writes into what it is given."""
        if (spec, gap) not in self._overwriting:
            what = f"the head {spec} after {gap} units" if spec else f"the classifier of the backbone {self.backbone}"
            self._overwriting[spec, gap] = bool(traced_at(what, head, self.template.example(gap))[1])
        if self._overwriting[spec, gap]:
            keep_apart(head)

    def site(self, gap: int, backbone: Backbone | None = None) -> Site:
        """The site of a head after `gap` units."""
        template = self.template
        return Site(template.shapes[gap], self.num_classes, gap, backbone or template, template.example(gap))

    def _resolved(self, backbone: str) -> Component:
        """The backbone with all its settings; a file of weights with the digest of what is in it."""
        return pinned(BACKBONES.resolve(backbone))

    def _changed(self, **changes: Any) -> SearchSpace:
        settings = {"num_blocks": self._num_blocks, "gaps": self.gaps, "min_block": self.min_block, "vectors": self.vectors}
        return SearchSpace(
            str(self.backbone), self.heads, input_shape=self.input_shape, num_classes=self.num_classes, **(settings | changes)
        )

    def _count(self, num_blocks: int) -> int:
        return self.cut_sets.count(num_blocks - 1) * len(self.heads) ** (num_blocks - 1)

    def _check_heads(self) -> None:
        """Build each head once, so that settings that do not hold are refused here and not in the middle of a search."""
        with torch.device("meta"):
            for head in self.heads:
                for gap in self.gaps[:1]:
                    HEADS.build(head, self.site(gap))

    def _checked_gaps(self, gaps: Sequence[int] | None) -> tuple[int, ...]:
        last = self.num_units - 1
        chosen = tuple(range(1, last + 1)) if gaps is None else tuple(sorted(set(gaps)))
        if any(not 1 <= gap <= last for gap in chosen):
            raise UserError(f"gaps of a {self.num_units}-unit backbone lie in 1..{last}, got {chosen}")
        return chosen

    def _checked_block_counts(self, num_blocks: int | tuple[int, int] | None) -> tuple[int, ...]:
        if not 1 <= self.min_block <= self.num_units:
            raise UserError(
                f"blocks of a {self.num_units}-unit backbone have at least 1..{self.num_units} units, "
                f"got min_block={self.min_block}"
            )
        most = max(k for k in range(1, len(self.gaps) + 2) if self.cut_sets.count(k - 1))
        if num_blocks is None:
            num_blocks = (1, most)
        lowest, highest = num_blocks if isinstance(num_blocks, tuple) else (num_blocks, num_blocks)
        if not 1 <= lowest <= highest <= most:
            raise UserError(
                f"{len(self.gaps)} gaps and blocks of at least {self.min_block} of {self.num_units} units allow "
                f"1..{most} blocks, got num_blocks={num_blocks}"
            )
        if highest > 1 and not self.heads:
            raise UserError("a space that cuts needs at least one head; name one in 'heads'")
        return tuple(range(lowest, highest + 1))
