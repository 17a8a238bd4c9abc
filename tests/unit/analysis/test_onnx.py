import pytest

np = pytest.importorskip("numpy", reason="only with `make analysis`")
ort = pytest.importorskip("onnxruntime", reason="only with `make analysis`")

from analysis.onnx import MICROSOFT, Graph  # noqa: E402 -- after it is known to be there


def run(graph, **given):
    return ort.InferenceSession(graph.model(), providers=["CPUExecutionProvider"]).run(None, given)


def test_onnxruntime_runs_what_is_written():
    made = Graph()
    made.input("x", "float32", ("rows", 3))
    matrix = np.arange(6, dtype=np.float32).reshape(3, 2)
    product = made.node("MatMul", ("x", made.constant("w", matrix)), ("p",))
    made.node("LeakyRelu", (product,), ("y",), alpha=0.5)
    made.output("y", "float32", ("rows", 2))
    given = np.array([[1, 2, 3], [-1, 0, -1]], dtype=np.float32)
    (told,) = run(made, x=given)
    plain = given @ matrix
    assert np.allclose(told, np.where(plain < 0, plain * 0.5, plain))


def test_steps_have_attributes_several_outputs_and_omitted_inputs():
    made = Graph()
    made.input("ids", "int32", ("rows", "tokens"))
    table = np.eye(4, dtype=np.float32)
    names = made.constant("words", table), "", made.constant("places", np.zeros((300, 4), dtype=np.float32))
    ones, zeros = np.ones(4, dtype=np.float32), np.zeros(4, dtype=np.float32)
    inputs = (
        "ids",
        "",
        names[0],
        names[2],
        "",
        made.constant("gamma", ones),
        made.constant("beta", zeros),
    )
    # onnxruntime's operator wants a mask as an output even where nobody reads it.
    made.node("EmbedLayerNormalization", inputs, ("y", "unread"), MICROSOFT, epsilon=1e-12)
    made.output("y", "float32", ("rows", "tokens", 4))
    (told,) = run(made, ids=np.full((1, 300), 2, dtype=np.int32))
    row = (table[2] - table[2].mean()) / table[2].std()
    assert told.shape == (1, 300, 4)
    assert np.allclose(told[0, 299], row, atol=1e-5)
