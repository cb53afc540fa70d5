"""How the files are loaded in a program of one's own, as lines of Python that run in their folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.exports.exported import Exported
from nas.exports.plain_network import construction


def loading(exported: Exported, metadata: Mapping[str, Any], *, strict: bool) -> str:
    """The lines; `strict` says that a file of weights has all tensors of the plain network, and no others."""
    lines = {"torch": _torch, "safetensors": _safetensors, "onnx": _onnx, "torch_export": _torch_export}
    if exported.adaptive and not metadata["stages"][0].get("one_by_one"):
        return "\n".join(_cascade(metadata))
    known = lines.get(str(metadata["format"]))
    return "" if known is None else "\n".join(known(exported, metadata, strict))


def _torch(exported: Exported, metadata: Mapping[str, Any], strict: bool) -> list[str]:
    load = 'state_dict = torch.load("model.pt", weights_only=True)["state_dict"]'
    return _into_the_model(exported, "import torch", load, strict)


def _safetensors(exported: Exported, metadata: Mapping[str, Any], strict: bool) -> list[str]:
    load = 'state_dict = load_file("model.safetensors")'
    return _into_the_model(exported, "from safetensors.torch import load_file", load, strict)


def _into_the_model(exported: Exported, import_line: str, load: str, strict: bool) -> list[str]:
    imports, made = construction(exported.method)
    lines = [*sorted({import_line, *imports}), "", load]
    return (
        [*lines, *made, f"model.load_state_dict(state_dict{'' if strict else ', strict=False'})", "model.eval()"]
        if made
        else lines
    )


def _onnx(exported: Exported, metadata: Mapping[str, Any], strict: bool) -> list[str]:
    one_by_one = bool(metadata["stages"][0].get("one_by_one"))
    given = ", ".join(f'"{name}": {array}' for name, array in _arrays(metadata, 1 if one_by_one else 2).items())
    return [
        "import numpy as np",
        "import onnxruntime",
        "",
        'session = onnxruntime.InferenceSession("model.onnx")',
        f"{'logits, depth' if one_by_one else '(logits,)'} = session.run(None, {{{given}}})",
    ]


def _torch_export(exported: Exported, metadata: Mapping[str, Any], strict: bool) -> list[str]:
    given = ", ".join(f"torch.from_numpy({array})" for array in _arrays(metadata).values())
    return [
        "import numpy as np",
        "import torch",
        "",
        'model = torch.export.load("model.pt2").module()',
        f"logits = model({given})",
    ]


def _arrays(metadata: Mapping[str, Any], count: int = 2) -> dict[str, str]:
    """So many inputs, as what makes them."""
    return {one["name"]: _array(one, count) for one in metadata["inputs"]["tensors"]}


def _array(tensor: Mapping[str, Any], count: int) -> str:
    maker = "ones" if tensor["dtype"] == "int64" else "zeros"  # an id of 0 is padding
    return f"np.{maker}({(count, *tensor['size'])}, np.{tensor['dtype']})"


def _cascade(metadata: Mapping[str, Any]) -> list[str]:
    inputs = metadata["inputs"]
    if inputs["kind"] == "texts":
        given = 'texts=["a text", "and another one"]'
    elif inputs["kind"] == "images":
        channels, height, width = inputs["shape"]
        given = f"images=np.zeros({(2, height, width, channels)}, np.uint8)"
    else:
        given = f"inputs={_array(inputs['tensors'][0], 2)}"
    if inputs["features"]:
        given += f", features=np.zeros({(2, len(inputs['features']['mean']))})"
    return [
        "import numpy as np",
        "from answer import Network",
        "",
        'network = Network(".")',
        f"logits, depths = network(network.inputs({given}))",
    ]
