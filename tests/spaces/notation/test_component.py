"""Components: what is written reads back, what is wrong is told, and a user's own module needs no edit here."""

from __future__ import annotations

import ast
import math
import random
import re
import string
from functools import partial
from typing import Literal

import pytest

from spaces.backbones import BACKBONES
from spaces.heads import HEADS
from spaces.notation.component import Component
from spaces.notation.errors import UserError
from spaces.notation.table import Table
from spaces.rules import RULES

AWKWARD = [
    "",
    "a b",
    "lambda",
    "None",
    "True",
    "inf",
    "1",
    "1e5",
    "it's",
    'say "so"',
    "back\\slash",
    "line\nbreak",
    "é",
    "ﬁ",
    "a,b",
    "f(x=1)",
    "my.module.name",
    "pkg:name",
    "(",
    "]",
    "=",
    "'\"",
    "#",
    "3:conv 5:linear",
    "async",
]


def draw_literal(rng: random.Random, depth: int = 0):
    kind = rng.randrange(8 if depth < 3 else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randint(-(10 ** rng.randrange(25)), 10 ** rng.randrange(25))
    if kind == 2:
        return rng.choice([rng.gauss(0, 1) * 10.0 ** rng.randint(-300, 300), 0.1, -0.0, 1e22, math.inf, -math.inf, 5e-324])
    if kind < 5:
        return rng.choice(AWKWARD)
    if kind < 7:
        return "".join(rng.choices(string.printable, k=rng.randrange(8)))
    return tuple(draw_literal(rng, depth + 1) for _ in range(rng.randrange(4)))


@pytest.mark.parametrize("seed", range(5))
def test_every_component_reads_back_from_its_text(seed):
    rng = random.Random(seed)
    for _ in range(200):
        names = rng.sample(["a", "depth", "lr_0", "type", "é1"], rng.randrange(4))
        component = Component(
            rng.choice(["conv", "my.module.name", "pkg:fn", "_x1"]),
            tuple((name, draw_literal(rng)) for name in names),
            tuple(draw_literal(rng) for _ in range(rng.randrange(3))),
        )
        again = Component.parse(str(component))
        assert again == component
        assert repr(again) == repr(component), "types are kept too: 1 is not True, nor 1.0"
        assert "\n" not in str(component), "a component is one line, so it fits a CSV cell"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("conv", "conv"),
        ("conv()", "conv"),
        (" conv( depth = 2 )\n", "conv(depth=2)"),
        ("even(4)", "even(4)"),
        ("x(sampler=gp)", "x(sampler=gp)"),
        ("x(a='gp')", "x(a=gp)"),
        ("x(a=[1, 2])", "x(a=[1,2])"),
        ("x(a=(1,))", "x(a=[1])"),
        ("x(a=-1, b=+2.50)", "x(a=-1,b=2.5)"),
        ("x(a=1e999)", "x(a=1e999)"),
        ("x(a=None,b=True)", "x(a=None,b=True)"),
        ("x(head=conv(depth = 2))", "x(head='conv(depth=2)')"),
        ("x(head=my.mod.head)", "x(head='my.mod.head')"),
        ("x(heads=[conv(depth=1), linear, m.h(a=b(c=1))])", "x(heads=['conv(depth=1)',linear,\"m.h(a='b(c=1)')\"])"),
    ],
)
def test_what_a_person_may_write(text, written):
    assert str(Component.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "(",
        "1",
        "a b",
        "a-b",
        "a.(x=1)",
        ".a",
        "a(",
        "a(x=1",
        "a(x=1))",
        "a(x=1)(y=2)",
        "a(x=1)+b(y=2)",
        "a(x=)",
        "a(x=lambda)",
        "a(x=1, x=2)",
        "a(**b)",
        "a(*b)",
        "a(x={1: 2})",
        "a(x={[1]: 2})",
        "a(x={1})",
        "a(x=1j)",
        "a(x=1+2j)",
        "a(x=b'y')",
        "a(x=...)",
        "a(x=f'{y}')",
        "a(x=1+2)",
        "a(x=-'b')",
        "a(x=y[0])",
        "a(x=my data)",
        "a(x=/data/it's)",
        "a(x=/a,b)",
        "a(x=/data/y(1))",
        "a(x=~1)",
        "a(y for y in z)",
        "a(x:=1)",
        "a(x=1 if y else 2)",
        "a(\0)",
        "a(x=1(2))",
        "a(x=y().z)",
        "a(x=not y)",
        "a" + "(" * 300,
    ],
)
def test_what_does_not_parse_is_told_with_what_came(text):
    with pytest.raises(UserError, match="(is|are) (written|a number)") as error:
        Component.parse(text)
    shown = re.search("(?:got|but|see) (['\"].*['\"])", str(error.value))
    assert shown and ast.literal_eval(shown[1]) in text


@pytest.mark.filterwarnings("ignore:.*invalid")  # escapes and numbers that Python itself warns of
def test_no_text_does_more_than_parse_or_be_refused():
    rng, seeds = random.Random(0), ["conv(depth=1,reduction=4)", "x(a=[1,(2,'b')],c=d.e(f=-1.5))", "even(4, head=mlp_sr)"]
    for _ in range(2000):
        text = list(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text))
            text[at : at + rng.randrange(2)] = rng.choice(string.printable + "é\0")
        try:
            component = Component.parse("".join(text))
        except UserError:
            continue
        assert Component.parse(str(component)) == component


def thing(
    site,
    *,
    size: int = 3,
    scale: float = 1,
    name: str = "x",
    on: bool = False,
    kind: Literal["a", "b"] = "a",
    limit: float = math.inf,
    steps: tuple[float, ...] = (0.5, 1),
    words: list[str] = ["u"],  # noqa: B006
    maybe: int | None = None,
    either: int | tuple[int, ...] = 1,
    free=None,
):
    return locals()


def bare(site):
    return site


def needy(site, *, size: int):
    return size


class Classy:
    """A class may be a factory."""

    def __init__(self, site, *, size: int = 1) -> None:
        self.size = size


TABLE = Table("thing", {"thing": thing, "bare": bare, "needy": needy, "classy": Classy, "partly": partial(thing, size=7)})


def test_defaults_are_filled_in_with_their_types():
    resolved = TABLE.resolve("thing")
    assert str(resolved) == ("thing(size=3,scale=1.0,name=x,on=False,kind=a,limit=1e999,steps=[0.5,1.0],words=[u],either=1)")
    assert repr(TABLE.resolve(str(resolved))) == repr(resolved)
    assert hash(resolved) == hash(TABLE.resolve("thing(3)")), "positional values are named"


def test_an_optional_setting_is_written_only_when_it_says_something():
    def without(site, *, size: int = 3, needed: int | None):
        return size

    def grown(site, *, size: int = 3, needed: int | None, extra: Literal["a"] | None = None):
        return size, extra

    old, new = (Table("thing", {"thing": factory}) for factory in (without, grown))
    assert new.resolve("thing(needed=None)") == old.resolve("thing(needed=None)") == Component.parse("thing(size=3,needed=None)")
    assert new.resolve("thing(needed=1,extra=None)") == new.resolve("thing(needed=1)")
    assert str(new.resolve("thing(needed=1,extra=a)")) == "thing(size=3,needed=1,extra=a)"
    assert new.build("thing(needed=1)", "site") == (3, None) and new.build("thing(needed=1,extra=a)", "site") == (3, "a")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("thing(scale=2)", "scale", 2.0),
        ("thing(limit=-1e999)", "limit", -math.inf),
        ("thing(steps=[1])", "steps", (1.0,)),
        ("thing(steps=[])", "steps", ()),
        ("thing(words=[b, 'c d'])", "words", ("b", "c d")),
        ("thing(maybe=2)", "maybe", 2),
        ("thing(maybe=None)", "maybe", None),
        ("thing(either=[1,2])", "either", (1, 2)),
        ("thing(kind=b)", "kind", "b"),
        ("thing(4, 5)", "scale", 5.0),
        ("thing(free=[1, 'x'])", "free", (1, "x")),
        ("thing(name='4')", "name", "4"),
        ("thing(name=conv(depth=2))", "name", "conv(depth=2)"),
    ],
)
def test_settings_reach_the_factory_as_annotated(text, name, value):
    built = TABLE.build(text, "site")
    assert built["site"] == "site"
    assert repr(built[name]) == repr(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("thing(size=x)", "thing thing, setting size must be a whole number, got x"),
        ("thing(size=1.0)", "must be a whole number, got 1.0"),
        ("thing(size=True)", "must be a whole number, got True"),
        ("thing(scale=True)", "must be a number, got True"),
        ("thing(scale=None)", "must be a number, got None"),
        ("thing(name=3)", "must be a word or a quoted text, got 3"),
        ("thing(on=1)", "must be True or False, got 1"),
        ("thing(on=yes)", "must be True or False, got yes"),
        ("thing(kind=c)", "value of .*kind: 'c'; there are: a, b"),
        ("thing(kind=3)", "kind must be a or b, got 3"),
        ("thing(steps=1)", r"steps must be a list \(each a number\), got 1"),
        ("thing(steps=[1, a])", "setting steps must be a number, got a"),
        ("thing(maybe=x)", "maybe must be a whole number or None, got x"),
        ("thing(siez=3)", "unknown setting of thing thing: 'siez'; did you mean size"),
        ("thing(3, size=4)", "a setting is given once, got size twice"),
        ("bare(x=1)", "thing bare takes no settings, got x=1"),
        ("bare(1)", r"takes 0 settings \(none\), got 1 values"),
        ("needy", r"needy needs the setting size: needy\(size=...\)"),
        ("thign", "unknown thing 'thign'; did you mean thing"),
        ("zzz", "unknown thing 'zzz'; there are: bare, classy, needy, partly, thing"),
        ("thing(1,2,3,4,5,6,7,8,9,10,11,12)", "takes 11 settings .* got 12 values"),
    ],
)
def test_a_wrong_setting_is_told_with_rule_value_and_way_out(text, says):
    with pytest.raises(UserError, match=says):
        TABLE.resolve(text)


def test_classes_and_partials_are_factories():
    assert TABLE.build("classy(size=4)", None).size == 4
    assert TABLE.describe("classy") == "A class may be a factory."
    assert TABLE.build("partly(scale=2)", None)["size"] == 7
    with pytest.raises(UserError, match="size must be a whole number"):
        TABLE.resolve("partly(size=x)")


def test_a_table_is_a_mapping():
    assert list(TABLE) == ["thing", "bare", "needy", "classy", "partly"] and len(TABLE) == 5
    assert "thing" in TABLE and "thign" not in TABLE and "math.pi" not in TABLE


def test_a_dotted_path_needs_no_edit_here(tmp_path, monkeypatch):
    (tmp_path / "own_component.py").write_text(
        "from __future__ import annotations\n"
        "def own(site, *, size: int = 2) -> int:\n    '''Mine.\n\n    More.'''\n    return site * size\n"
        "number = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for path in ("own_component.own", "own_component:own"):
        assert TABLE.build(f"{path}(size=5)", 10) == 50
        assert str(TABLE.resolve(path)) == f"{path}(size=2)"
        assert TABLE.describe(path) == "Mine."
    for path, says in [
        ("own_component.missing", "cannot be imported .*missing"),
        ("own_componen.own", "PYTHONPATH"),
        ("own_component.number", "must be a function or a class, but it is a int"),
    ]:
        with pytest.raises(UserError, match=f"thing '{path}' .*{says}"):
            TABLE.resolve(path)


ENTRIES = [(table, name) for table in (BACKBONES, HEADS, RULES) for name in table]


@pytest.mark.parametrize(("table", "name"), ENTRIES)
def test_every_entry_reads_back_and_describes_itself(table, name):
    needed = {
        key: "a.b" if parameter.annotation is str else "4"
        for key, parameter in table.parameters(name).items()
        if parameter.default is parameter.empty
    }
    text = f"{name}({','.join(f'{key}={value}' for key, value in needed.items())})"
    resolved = table.resolve(text)
    said = [key for key, parameter in table.parameters(name).items() if parameter.default is not None]
    assert [key for key, _ in resolved.settings] == said, "every setting is filled in that says something by default"
    for again in (table.resolve(str(resolved)), Component.parse(str(resolved))):
        assert repr(again) == repr(resolved)
    assert len(table.describe(name)) > 10 and table.describe(name).endswith("."), "whole sentences"


@pytest.mark.parametrize(("table", "name"), ENTRIES)
def test_a_typo_in_any_entry_names_the_real_one(table, name):
    swapped = name[0] + name[2] + name[1] + name[3:]
    for typo in (swapped, name[:-1] + "_", name + "x", "x" + name):
        if typo != name:
            with pytest.raises(UserError, match=rf"unknown {table.kind} '{typo}'; did you mean [\w ]*\b{name}\b"):
                table.resolve(typo)


@pytest.mark.parametrize(
    "path",
    [
        ".",
        "..",
        ".mine",
        "glove.6B.50d.txt",
        "/data/mine",
        "./mine",
        "../mine",
        "../..",
        "~/mine",
        "~",
        "~me/mine",
        "/",
        "my-data",
        "my-data.v2",
        "data/mine",
        "data/",
        "2024/05-01",
        "/data/my photos",
        "/data/é/ß",
        "a/b.npz",
        "./-x",
        "/data/a+b@c#d",
        "..//x",
    ],
)
def test_a_bare_path_is_a_text(path):
    for text in (f"x(root={path})", f"x( root = {path} )", f"x(root='{path}')"):
        assert Component.parse(text) == Component("x", (("root", path),))
    assert Component.parse(f"x({path})").positional == (path,)
    listed = Component.parse(f"x(a=1, roots=[{path}, linear], b='u')")
    assert listed.settings == (("a", 1), ("roots", (path, "linear")), ("b", "u"))
    nested = Component.parse(f"x(of=y(root={path}),units=2)")
    assert Component.parse(dict(nested.settings)["of"]) == Component("y", (("root", path),))
    assert Component.parse(str(nested)) == nested
    assert Component.parse(f"x(said=' = {path}, (/a/b)')").settings == (("said", f" = {path}, (/a/b)"),)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("x(root=my data)", "root='my data'"),
        ("x(root=/data/a b(1))", "root='/data/a b(1)'"),
        ("x(root=a:b)", "root='a:b'"),
        ("x(root=/data/a=1,y=2)", "root='/data/a=1'"),
        ("x(y=2,root=data@v2)", "root='data@v2'"),
        ("x(root=class)", "root='class'"),
    ],
)
def test_a_text_that_needs_quotes_is_shown_in_them(text, form):
    with pytest.raises(UserError, match=re.escape(form)):
        Component.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "x(" * 150 + ")" * 150,
        "x(a=" + "-" * 9000 + "1)",
        "x(a=" + "9" * 5000 + ")",
        "x(a=0x" + "f" * 5000 + ")",
        "x(a=" + "b." * 5000 + "c)",
        "x(" + "a" * 30000 + ")",
        "x(a=\0)",
        "x(a='\ud800')\ud800",
        "x(a=b(" * 90,
        "x(a=" + "y(b=" * 60 + "'z'" + ")" * 61,
        "x(a=" + "not " * 4000 + "1)",
        "x(a=" + "1+" * 5000 + "1)",
    ],
)
def test_what_is_too_long_or_too_deep_is_refused(text):
    with pytest.raises(UserError):
        Component.parse(text)
