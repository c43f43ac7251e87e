"""Reading ONNX files: our own bit for bit, those of PyTorch's exporter to 1e-6; damaged and foreign files are named."""

import warnings

import jax.numpy as jnp
import numpy as np
import onnx
import pytest
import torch

from jaxrnn import GRU, LSTM, Bidirectional, ManyToMany, ManyToOne, Readout, Stack, SymbolModel, unroll
from jaxrnn.convert import ConversionError, from_onnx, to_onnx
from jaxrnn.trees import SequenceClassifier
from tests.conformance.test_onnx_files import NETWORKS, XS, float32_params
from tests.convert.test_round_trips import assert_exact

MODELS = {name: network for name, network in NETWORKS.items() if "dropout" not in name} | {
    "many to many": ManyToMany(Stack((GRU(3, 5), LSTM(5, 4))), Readout(4, 6)),
    "many to one": ManyToOne(LSTM(3, 5, "current"), Readout(5, 2)),
    "symbols": SymbolModel(GRU(3, 5), 9, 3, 5, stop_unit=True),
    "classifier": SequenceClassifier(Stack((GRU(3, 5), GRU(5, 4))), 9, 3, 4, 2),
}


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_was_written_is_read_back_bit_for_bit(model, lengths, tmp_path):
    params = float32_params(model)
    to_onnx(model, params, tmp_path / "model.onnx", lengths=lengths)
    assert_exact(model, params, from_onnx(tmp_path / "model.onnx"))


class Last(torch.nn.Module):
    """The usual classifier: the last layer's final h, read out."""

    def __init__(self):
        super().__init__()
        self.rnn, self.out = torch.nn.LSTM(3, 5, 2, batch_first=True), torch.nn.Linear(5, 2)

    def forward(self, xs):
        return self.out(self.rnn(xs)[1][0][-1])


class LastStep(Last):
    """The same by the last step of ys."""

    def forward(self, xs):
        return self.out(self.rnn(xs)[0][:, -1])


class Tokens(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.out = torch.nn.Embedding(9, 3), torch.nn.GRU(3, 5), torch.nn.Linear(5, 9)

    def forward(self, tokens):
        return self.out(self.rnn(self.embedding(tokens))[0])


def exported(module, example, path):
    """PyTorch's file; its exporter warns of many things."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (example,), path, dynamo=False, opset_version=17)
    return path


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.RNN(3, 5, nonlinearity="relu"),
        torch.nn.LSTM(3, 5, 2),
        torch.nn.GRU(3, 5, bidirectional=True, num_layers=2),
        torch.nn.GRU(3, 5, bias=False, batch_first=True),
    ],
    ids=repr,
)
def test_a_module_that_pytorch_exported(module, tmp_path):
    xs = torch.from_numpy(XS)
    cell, params = from_onnx(exported(module, xs, tmp_path / "model.onnx"))
    expected = module(xs)[0].detach().numpy()
    ours = XS if not module.batch_first else XS.swapaxes(0, 1)
    ys = (cell.apply if hasattr(cell, "apply") else lambda *a: unroll(cell, *a))(params, jnp.asarray(ours))[1]
    np.testing.assert_allclose(ys if not module.batch_first else ys.swapaxes(0, 1), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [Last, LastStep])
def test_a_classifier_that_pytorch_exported(kind, tmp_path):
    module, xs = kind(), torch.from_numpy(XS.swapaxes(0, 1))
    model, params = from_onnx(exported(module, xs, tmp_path / "model.onnx"))
    assert model == ManyToOne(Stack((LSTM(3, 5), LSTM(5, 5))), Readout(5, 2))
    np.testing.assert_allclose(model.logits(params, jnp.asarray(XS)), module(xs).detach(), rtol=0, atol=1e-6)


def test_a_language_model_that_pytorch_exported(tmp_path):
    module, tokens = Tokens(), torch.from_numpy(np.random.default_rng(0).integers(0, 9, (6, 2)))
    model, params = from_onnx(exported(module, tokens, tmp_path / "model.onnx"))
    assert model == SymbolModel(GRU(3, 5, "after"), 9, 3, 5)
    ids = jnp.asarray(tokens.numpy())
    logits = model.apply(params, ids[1:], jnp.full(2, 5), start=ids[0])
    np.testing.assert_allclose(logits, module(tokens).detach()[:-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(cut, tmp_path):
    cell = LSTM(3, 5)
    to_onnx(cell, float32_params(cell), tmp_path / "whole.onnx")
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "whole.onnx").read_bytes()[:cut])
    with pytest.raises(ConversionError, match=r"cut\.onnx cannot be read as an ONNX model"):
        from_onnx(tmp_path / "cut.onnx")


def test_what_is_no_onnx_file_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("This is a text.")
    with pytest.raises(ConversionError, match=r"text\.onnx cannot be read as an ONNX model"):
        from_onnx(tmp_path / "text.onnx")
    with pytest.raises(OSError, match="none"):
        from_onnx(tmp_path / "none.onnx")


class Other(torch.nn.Module):
    def __init__(self, ends):
        super().__init__()
        self.rnn, self.out, self.ends = torch.nn.GRU(3, 5, bidirectional=ends == "both"), torch.nn.Linear(5, 2), ends

    def forward(self, xs):
        ys, _ = self.rnn(xs)
        match self.ends:
            case "softmax":
                return torch.softmax(self.out(ys), -1)
            case "product":
                return ys * ys
            case "middle":
                return self.out(ys[3])
            case "linear":
                return self.out(torch.cat([xs, xs[..., :2]], -1))
            case "both":
                return self.out(ys[..., :5])


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ("softmax", r"\(Softmax\) has no counterpart"),
        ("product", r"\(Mul\) has no counterpart"),
        ("middle", r"\(Gather\) picks parts of sequence"),
        ("linear", "Concat|Slice|MatMul"),
        ("both", r"\(Slice\) cuts a sequence"),
    ],
)
def test_other_operators_are_named(ends, why, tmp_path):
    path = exported(Other(ends), torch.from_numpy(XS), tmp_path / "model.onnx")
    with pytest.raises(ConversionError, match=why):
        from_onnx(path)


def test_a_node_without_a_counterpart_is_named(tmp_path):
    cell = Bidirectional(GRU(3, 5), GRU(3, 5))
    to_onnx(cell, float32_params(cell), tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    (node,) = [node for node in model.graph.node if node.op_type == "GRU"]
    node.attribute.append(onnx.helper.make_attribute("clip", 2.0))
    onnx.save(model, tmp_path / "clipped.onnx")
    with pytest.raises(ConversionError, match="`clip` must be left out"):
        from_onnx(tmp_path / "clipped.onnx")
