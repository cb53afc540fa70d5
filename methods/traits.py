"""What the framework has to know of a method before it builds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spaces.decoupling import Decoupling
from spaces.heads import NO_HEAD
from spaces.heads.conv_fc import gives_embedding
from spaces.notation.errors import UserError


def _as_asked(decoupling: Decoupling) -> Decoupling:
    return decoupling


@dataclass(frozen=True)
class Traits:
    """Of a method with its settings, `Method.traits`.

    default_head     the head that a cut gets where the decoupling names none. None: cuts have no use either, so a rule such
                     as even(4) cuts nothing; `none`: cuts have no heads
    has_exit_logits  every exit gives logits, and not only the last
    end_to_end       all blocks are one stage, in which gradients cross the cuts
    head_lookahead   how many units behind its cut a head's input lies; 0: heads are given the block's own output
    rewrite          the decoupling asked for -> the one that the method trains, such as other heads at the same cuts
    class_labels     why its equations need class labels, so that no other loss can be given; empty where only the loss of an
                     exit's outputs does
    name             how errors call the method
    """

    default_head: str | None = None
    has_exit_logits: bool = True
    end_to_end: bool = False
    head_lookahead: int = 0
    rewrite: Callable[[Decoupling], Decoupling] = _as_asked
    class_labels: str = ""
    name: str = "this method"

    def adapt(self, decoupling: Decoupling) -> Decoupling:
        """The decoupling that the method trains when `decoupling` is asked for.

        UserError: a cut has no head where the method needs one, or a head gives embeddings where it learns from logits.
        """
        adapted = self.rewrite(decoupling)
        if NO_HEAD in adapted.heads and self.default_head != NO_HEAD:
            raise UserError(f"{self.name} learns through heads, but '{adapted}' has none at a cut; name one, such as linear")
        for head in filter(gives_embedding, adapted.heads if self.has_exit_logits else ()):
            raise UserError(
                f"{self.name} learns from its heads' logits, but {head} gives an embedding; leave embedding=True "
                "out, or take loss=contrast of infopro or contsup"
            )
        return adapted

    def check_loss(self) -> None:
        """A UserError where the loss of outputs cannot be another than cross-entropy."""
        if self.class_labels:
            raise UserError(
                f"{self.name} needs class labels, since {self.class_labels}, got a loss of your own; leave it out, or take dgl"
            )
