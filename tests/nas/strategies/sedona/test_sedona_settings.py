"""Every setting of a SEDONA search that cannot be is refused with its name, before anything is done."""

import pytest

from nas.strategies import STRATEGIES
from spaces.notation.errors import UserError


@pytest.mark.parametrize(
    "setting",
    [
        "pretrain=0",
        "meta_steps=0",
        "inner_steps=0",
        "inner_batch=0",
        "outer_batch=-1",
        "memory=0",
        "sample_gaps=0",
        "sample_heads=1",
        "lr=0",
        "lr=-0.1",
        "lr=1e999",
        "meta_lr=0",
        "meta_lr=-1",
        "disk_gb=0",
        "disk_gb=1e999",
        "memory_weight=-0.1",
        "memory_weight=1e999",
        "time_weight=-1",
        "time_weight=1e999",
    ],
)
def test_a_number_out_of_range(setting):
    name, _, value = setting.partition("=")
    with pytest.raises(UserError, match=rf"sedona's {name} is .*got {float(value):g}"):
        STRATEGIES.build(f"sedona({setting})")


@pytest.mark.parametrize("setting", ["memory_weight=0", "time_weight=0", "inner_batch=None", "pretrain=1", "memory=1"])
def test_the_least_that_can_be(setting):
    STRATEGIES.build(f"sedona({setting})")


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("engine=adjiont", "adjoint"),
        ("engine=unrol", "unroll"),
        ("eviction=oldst", "oldest"),
        ("eviction=worse", "worst"),
        ("objective=valid", "validation"),
        ("objective=trian", "train"),
        ("memory_wieght=1", "memory_weight"),
    ],
)
def test_a_typing_error_gets_the_nearest_real_name(setting, meant):
    with pytest.raises(UserError, match=f"did you mean .*{meant}"):
        STRATEGIES.build(f"sedona({setting})")


@pytest.mark.parametrize(
    ("setting", "names"),
    [("engine=higher", "adjoint, identity, unroll"), ("eviction=lru", "oldest, worst"), ("objective=both", "train, validation")],
)
def test_a_name_like_no_other_gets_all_of_them(setting, names):
    with pytest.raises(UserError, match=f"there are: {names}"):
        STRATEGIES.build(f"sedona({setting})")


@pytest.mark.parametrize("setting", ["sample_gaps=1", "sample_heads=2"])
def test_the_exact_reference_samples_nothing(setting):
    with pytest.raises(UserError, match="engine=unroll is exact, got sample_gaps or sample_heads; leave them out"):
        STRATEGIES.build(f"sedona(engine=unroll,{setting})")


def test_settings_that_are_left_out_rename_no_older_search():
    assert not {"meta_precision", "sample_gaps", "sample_heads"} & dict(STRATEGIES.resolve("sedona").settings).keys()
    assert dict(STRATEGIES.resolve("sedona(sample_gaps=2)").settings)["sample_gaps"] == 2
