"""DGL's conventions, held by every convolution on every kind of graph; DGL's own ``test_nn.py`` is the model."""

import copy
import inspect
import io
import pickle

import pytest
import torch
from dgl.nn import GraphConv

from dgl_dysign._dgl import dgl
from dgl_dysign.errors import ConfigError, GraphError
from dgl_dysign.nn import EquilibriumSpikingConv, InfluenceConv, SpectralBound, SpikingGraphConv
from tests.nn.dgl_convs import ANYWHERE, CONVS, EQUILIBRIUM, USES_BOTH_SIDES, call, features, inputs, make
from tests.nn.graph_cases import CASES, IDTYPES, cases, directed_path, graph_of, random_graph, social


def on(convs, *labels):
    """Run a test with convolutions on the cases that have all labels; each sees both id types, each case too."""
    rows = []
    for place, conv in enumerate(convs):
        # An equilibrium needs every node's rate: its layers run where source nodes are destination nodes.
        kinds = (*labels, *([] if conv in ANYWHERE else ["homogeneous"]))
        for number, name in enumerate(cases(*kinds)):
            idtype = IDTYPES[(place + number) % 2]
            rows.append(pytest.param(conv, name, idtype, id=f"{conv}-{name}-{str(idtype)[6:]}"))
    return pytest.mark.parametrize(("conv", "name", "idtype"), rows)


@on(CONVS)
def test_one_row_a_destination_node_and_gradients(conv, name, idtype):
    graph, conv = graph_of(name, idtype), make(conv)
    data = graph.srcdata, graph.dstdata, graph.edata
    kept, feat = [set(frame) for frame in data], inputs(conv, graph)
    leaves = [part.requires_grad_() for part in (feat if isinstance(feat, tuple) else (feat,))]
    out = call(conv, graph, feat)
    assert out.shape == (graph.num_dst_nodes(), 4)
    assert out.dtype == torch.float32
    out.square().sum().backward()
    for leaf in (*conv.parameters(), *leaves):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
    assert [set(frame) for frame in data] == kept
    assert torch.equal(call(conv, graph.long() if idtype == torch.int32 else graph.int(), feat), out)


@on(CONVS, "sharp")
def test_edge_weight(conv, name, idtype):
    graph, conv = graph_of(name, idtype), make(conv)
    feat, size = inputs(conv, graph), graph.num_edges()
    weight = (torch.rand(size) + 0.5).requires_grad_()
    out = call(conv, graph, feat, edge_weight=weight)
    assert torch.equal(call(conv, graph, feat, edge_weight=weight[:, None]), out)
    out.square().sum().backward()
    assert torch.isfinite(weight.grad).all()
    torch.testing.assert_close(call(conv, graph, feat, edge_weight=torch.ones(size)), call(conv, graph, feat))
    # Edges of weight zero are no edges.
    if graph.is_homogeneous and not graph.is_block:
        bare = dgl.graph(([], []), num_nodes=graph.num_nodes())
    else:
        bare = dgl.create_block(([], []), graph.num_src_nodes(), graph.num_dst_nodes())
    torch.testing.assert_close(call(conv, graph, feat, edge_weight=torch.zeros(size)), call(conv, bare, feat))
    with pytest.raises(dgl.DGLError, match="edge_weight must have shape"):
        conv(graph, feat, edge_weight=torch.ones(size + 1))


@on(CONVS, "sharp")
def test_a_graph_that_may_not_have_every_format(conv, name, idtype):
    graph, conv = graph_of(name, idtype), make(conv)
    feat = inputs(conv, graph)
    weights = None, torch.rand(graph.num_edges())
    expected = [values_and_gradients(conv, graph, feat, weight) for weight in weights]
    of_formats = (["coo"], ["csr"], ["csc"], ["coo", "csr"], ["coo", "csc"], ["csr", "csc"])
    for number, formats in enumerate(of_formats, IDTYPES.index(idtype)):  # each with weights on every other graph
        other = graph.formats(formats)
        found = values_and_gradients(conv, other, feat, weights[number % 2])
        torch.testing.assert_close(found, expected[number % 2])
        assert {*other.formats()["created"], *other.formats()["not created"]} == set(formats)


def values_and_gradients(conv, graph, feat, weight):
    """Return what a layer gives and the gradients of its parameters and of all that it is called with."""
    conv.zero_grad()
    parts = [part.clone().requires_grad_() for part in (feat if isinstance(feat, tuple) else (feat,))]
    leaf = None if weight is None else weight.clone().requires_grad_()
    out = call(conv, graph, tuple(parts) if len(parts) == 2 else parts[0], edge_weight=leaf)
    out.square().sum().backward()
    leaves = [*conv.parameters(), *parts, *([] if leaf is None else [leaf])]
    return [out.detach(), *(torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.clone() for leaf in leaves)]


@on(CONVS, "sharp")
def test_a_pair_of_features(conv, name, idtype):
    graph, conv = graph_of(name, idtype), make(conv)
    feat = inputs(conv, graph)
    if not isinstance(feat, tuple):
        source_type, _, target_type = graph.canonical_etypes[0]
        both = feat, feat[: graph.num_dst_nodes()] if source_type == target_type else features(graph.num_dst_nodes())
        assert torch.equal(call(conv, graph, both), call(conv, graph, feat))


@on(USES_BOTH_SIDES, "sharp")
def test_a_pair_of_widths(conv, name, idtype):
    graph, conv = graph_of(name, idtype), make(conv, (5, 3))
    both = features(graph.num_src_nodes()), features(graph.num_dst_nodes(), 3)
    assert conv(graph, both).shape == (graph.num_dst_nodes(), 4)
    with pytest.raises(GraphError, match="feat must have shapes"):
        conv(graph, (both[0], features(graph.num_dst_nodes(), 5)))


@pytest.mark.parametrize("conv", USES_BOTH_SIDES)
@pytest.mark.parametrize("name", [*cases("bipartite"), "block_of_a_relation"])
def test_one_tensor_is_not_taken_for_both_sides_of_a_bipartite_graph(conv, name):
    graph = CASES[name].make()
    with pytest.raises(dgl.DGLError, match="pass a pair"):
        make(conv)(graph, features(graph.num_src_nodes()))


@pytest.mark.parametrize("conv", EQUILIBRIUM)
@pytest.mark.parametrize("name", [*cases("block", "sharp"), *cases("bipartite", "sharp")])
def test_an_equilibrium_on_a_block_names_the_way_out(conv, name):
    graph = CASES[name].make()
    with pytest.raises(dgl.DGLError, match=r"block or bipartite.*dgl\.node_subgraph.*EquilibriumCache.*respond"):
        make(conv)(graph, features(graph.num_src_nodes()))


@on(["spiking"])
def test_silent_nodes_are_refused_as_graph_conv_refuses_them(conv, name, idtype):
    graph, conv = graph_of(name, idtype), SpikingGraphConv(5, 4)
    feat, theirs = inputs(conv, graph), dgl.nn.GraphConv(5, 4)
    if not bool((graph.in_degrees() == 0).any()):
        assert conv(graph, feat).shape == theirs(graph, feat).shape
        return
    for layer in (conv, theirs):
        with pytest.raises(dgl.DGLError, match="allow_zero_in_degree"):
            layer(graph, feat)
        layer.set_allow_zero_in_degree(True)
    assert conv(graph, feat).shape == theirs(graph, feat).shape


@pytest.mark.parametrize("conv", ANYWHERE[:1] + ANYWHERE[2:])
@pytest.mark.parametrize("nodes", [[3, 0, 5], [19], list(range(20))], ids=len)
def test_a_block_gives_the_rows_of_the_whole_graph(conv, nodes):
    graph, feat, nodes = random_graph(), features(20), torch.tensor(nodes)
    conv = make(conv, norm="right") if conv == "spiking" else make(conv)
    block = dgl.to_block(dgl.in_subgraph(graph, nodes), nodes)
    found = conv(block, feat[block.srcdata[dgl.NID]])
    torch.testing.assert_close(found, conv(graph, feat)[nodes])


@pytest.mark.parametrize("conv", CONVS)
def test_direction_of_messages(conv):
    conv, feat = make(conv), features(4)
    before = call(conv, directed_path(), feat)
    feat[0] = 1 - feat[0]
    moved = (call(conv, directed_path(), feat) - before).abs().amax(1) > 0
    assert moved[1]
    assert not moved[2:].any() or isinstance(conv, EquilibriumSpikingConv)  # whose feedback goes on along the path


@pytest.mark.parametrize("conv", CONVS)
def test_copies_pickles_and_files(conv, tmp_path):
    conv, graph, feat = make(conv).train(), random_graph(), features(20)
    call(conv, graph, feat).sum().backward()  # what a step leaves behind travels too
    conv.eval()
    expected = call(conv, graph, feat)
    torch.save(conv, tmp_path / "whole.pt")
    torch.save(conv.state_dict(), tmp_path / "state.pt")
    state = make_like(conv)
    assert not torch.equal(call(state, graph, feat), expected)
    state.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for other in (
        copy.deepcopy(conv),
        pickle.loads(pickle.dumps(conv)),
        torch.load(tmp_path / "whole.pt", weights_only=False),
        state.eval(),
    ):
        assert torch.equal(call(other, graph, feat), expected)
        assert repr(other) == repr(conv)


def make_like(conv):
    """Return another layer of the same kind with other weights."""
    other = copy.deepcopy(conv)
    other.reset_parameters()
    return other


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize(
    ("half", "idtype"), [(False, torch.int64), (True, torch.int32)], ids=["float-in-int64", "half-in-int32"]
)
def test_autocast(conv, half, idtype):
    """Under autocast a layer computes what it computes without, and hands gradients to float32 parameters."""
    graph, feat, conv = random_graph().astype(idtype), features(20), make(conv)
    feat = feat.bfloat16() if half else feat
    weight = torch.rand(graph.num_edges())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = call(conv, graph, feat, edge_weight=weight)
        out.square().sum().backward()  # PyTorch advises against it inside, and people do it
    assert torch.equal(out, call(conv, graph, feat.float(), edge_weight=weight))
    assert all(p.grad.dtype == torch.float32 and torch.isfinite(p.grad).all() for p in conv.parameters())


@pytest.mark.parametrize("conv", CONVS)
def test_sequential(conv):
    graph, feat = random_graph(), features(20)
    layers = make(conv), make(conv, 4, 4), torch.nn.Linear(4, 3)
    model = dgl.nn.Sequential(*layers[:2])
    out = layers[2](call(model, graph, feat))
    torch.manual_seed(1)
    assert torch.equal(out, layers[2](layers[1](graph, layers[0](graph, feat))))
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    graphs = [random_graph(), dgl.add_self_loop(random_graph())]
    assert call(model, graphs, feat).shape == (20, 4)


@pytest.mark.parametrize("conv", ANYWHERE)
@pytest.mark.parametrize(
    ("idtype", "as_block", "aggregate"),
    [
        (torch.int32, False, "sum"),
        (torch.int64, True, "mean"),
        (torch.int32, True, "stack"),
        (torch.int64, False, "stack"),
    ],
)
def test_hetero_graph_conv(conv, idtype, as_block, aggregate):
    graph = social().astype(idtype)
    graph = dgl.to_block(graph) if as_block else graph
    model = dgl.nn.HeteroGraphConv({kind: make(conv) for kind in graph.etypes}, aggregate=aggregate)
    ones = {"follows": {"edge_weight": torch.ones(4)}}
    feat = {kind: features(graph.num_src_nodes(kind)) for kind in ("user", "game")}
    out = call(model, graph, feat)
    rows = {
        "user": (3, 2, 4) if aggregate == "stack" else (3, 4),
        "game": (2, 1, 4) if aggregate == "stack" else (2, 4),
    }
    assert {kind: tuple(value.shape) for kind, value in out.items()} == rows
    weighted = call(model, graph, feat, mod_kwargs=ones)
    for kind, value in out.items():
        torch.testing.assert_close(weighted[kind], value)
    sum(value.sum() for value in out.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("conv", EQUILIBRIUM)
def test_hetero_graph_conv_with_an_equilibrium_within_one_type(conv):
    graph = social()
    kinds = {"follows": make(conv), "plays": make("influence-gcn"), "made by": make("spiking")}
    out = dgl.nn.HeteroGraphConv(kinds)(graph, {"user": features(3), "game": features(2)})
    expected = kinds["follows"](graph["follows"], features(3))
    expected = expected + kinds["made by"](graph["made by"], (features(2), features(3)))
    torch.testing.assert_close(out["user"], expected)


@pytest.mark.parametrize("name", ["spiking", "influence-gcn", "equilibrium-implicit"])
def test_several_types_of_edges_are_refused(name):
    with pytest.raises(dgl.DGLError, match=r"one type of edges.*graph\[etype\]"):
        make(name)(social(), features(3))


@pytest.mark.parametrize("conv", ["spiking", "influence-gcn", "influence-gat", "equilibrium-implicit"])
def test_what_is_no_tensor_and_no_graph(conv):
    graph, conv = directed_path(), make(conv)
    feat, weight = features(graph.num_nodes()), torch.ones(graph.num_edges())
    for wrong in (feat.numpy(), feat.tolist()):
        with pytest.raises(
            dgl.DGLError, match=r"feat must be a tensor, but is of type \w+: make it one, torch\.tensor"
        ):
            conv(graph, wrong)
    with pytest.raises(dgl.DGLError, match="feat must be a tensor, but is of type dict: take the tensor out of it"):
        conv(graph, {"_N": feat})
    for wrong in (weight.numpy(), weight.tolist()):
        with pytest.raises(dgl.DGLError, match="edge_weight must be a tensor, but is of type"):
            conv(graph, feat, edge_weight=wrong)
    with pytest.raises(
        dgl.DGLError, match=r"graph must be a DGLGraph, but is of type Tensor: call layer\(graph, feat\)"
    ):
        conv(feat, graph)


def test_what_dgl_has_in_another_place():
    """Arguments that stand where DGL's layers have others are refused with the name to pass them by."""
    graph, feat = random_graph(), features(20)
    with pytest.raises(ConfigError, match=r"norm must be one of .* but got 8; .* latency=8"):
        SpikingGraphConv(5, 4, 8)
    with pytest.raises(dgl.DGLError, match=r"activation must be None, but got .*relu.*: .*apply another to the rates"):
        SpikingGraphConv(5, 4, activation=torch.relu)
    with pytest.raises(
        dgl.DGLError, match=r"shape \(5, 4\).*but got shape \(80,\).*weight=False; .*edge_weight=\.\.\."
    ):
        make("spiking")(graph, feat, torch.ones(80))
    with pytest.raises(ConfigError, match=r"state must be an EquilibriumState.*Tensor.*edge_weight=\.\.\."):
        EquilibriumSpikingConv(5, 4)(graph, feat, torch.ones(graph.num_edges()))
    with pytest.raises(ConfigError, match="aggregator must be one of"):
        InfluenceConv(5, 4, "mean")


def test_graph_conv_can_be_replaced_by_its_name_alone():
    """Everything of GraphConv stands where it stands there, in the layer and in its call, and has the same default."""
    for method in ("__init__", "forward"):
        ours, theirs = (inspect.signature(getattr(kind, method)).parameters for kind in (SpikingGraphConv, GraphConv))
        places = [parameter for parameter in ours.values() if parameter.kind is not parameter.KEYWORD_ONLY]
        assert [(p.name, p.default) for p in places] == [(p.name, p.default) for p in theirs.values()]
    graph, feat, matrix, weight = random_graph(), features(20), torch.rand(5, 4) - 0.5, torch.rand(80)
    conv, theirs = (kind(5, 4, "right", False, False, None, True) for kind in (SpikingGraphConv, GraphConv))
    conv.latency = 1000
    found, expected = (layer(graph, feat, matrix, weight) for layer in (conv, theirs))
    torch.testing.assert_close(found, expected.clamp(0, 1), rtol=0, atol=1e-3)
    with pytest.raises(dgl.DGLError, match=r"shape \(5, 4\).*got shape \(4, 5\).*takes another shape"):
        conv(graph, feat, matrix.t())


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize(
    ("layer_type", "feat_type", "remedy"),
    [
        (torch.float32, torch.float64, r"feat\.float\(\), or the layer with layer\.double\(\)"),
        (torch.float64, torch.float32, r"feat\.double\(\), or the layer with layer\.float\(\)"),
        (torch.float16, torch.float32, r"feat\.half\(\), or the layer with layer\.float\(\)"),
        (torch.float32, torch.int64, r"feat\.float\(\)"),
    ],
    ids=str,
)
def test_features_of_another_type(conv, layer_type, feat_type, remedy):
    graph, conv = random_graph(), make(conv).to(layer_type)
    with pytest.raises(dgl.DGLError, match=f"feat .*{feat_type}.*{remedy}"):
        conv(graph, features(20).to(feat_type))
    with pytest.raises(dgl.DGLError, match=r"feat is on the meta device.*to_empty"):
        conv(graph, features(20).to("meta"))


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_layers_in_half_precision(conv, half):
    """Features in half run in any layer; such layers where DGL sums halves and no bound must be certified."""
    runs = conv in (ANYWHERE if half == torch.bfloat16 else ("influence-sage", "influence-gat"))
    graph, feat, conv = random_graph(), features(20).to(half), make(conv)
    assert torch.equal(call(conv, graph, feat), expected := call(conv, graph, feat.float()))
    if runs:
        assert (call(conv.to(half), graph, feat) - expected).abs().mean() < 0.05
    else:
        with pytest.raises(dgl.DGLError, match=r"layer\.float\(\)"):
            call(conv.to(half), graph, feat)


@pytest.mark.parametrize("conv", CONVS)
def test_the_meta_device(conv):
    graph, feat, real = random_graph(), features(20), make(conv)
    with torch.device("meta"):
        conv = make(conv)
    assert {name: tensor.shape for name, tensor in conv.state_dict().items()} == {
        name: tensor.shape for name, tensor in real.state_dict().items()
    }
    with pytest.raises(dgl.DGLError, match=r"this layer is on the meta device.*to_empty.*load_state_dict"):
        conv(graph, feat)
    with pytest.raises(dgl.DGLError, match="to_empty"):
        conv(graph, feat.to("meta"))
    for bound in (part for part in conv.to_empty(device="cpu").modules() if isinstance(part, SpectralBound)):
        bound.vector.zero_()  # what is in the memory is anything
    conv.reset_parameters()
    assert torch.isfinite(call(conv, graph, feat)).all()
    conv.load_state_dict(real.state_dict())
    assert torch.equal(call(conv, graph, feat), call(real, graph, feat))


@pytest.mark.parametrize("conv", CONVS)
def test_a_state_of_another_size(conv):
    conv, other = make(conv), make(conv, 5, 6)
    before = {name: tensor.clone() for name, tensor in conv.state_dict().items()}
    for model, state in (
        (conv, other.state_dict()),
        (torch.nn.ModuleList([conv]), torch.nn.ModuleList([other]).state_dict()),
    ):
        with pytest.raises(
            ConfigError, match=r"\w+ has shape \(.*6.*\) .* but \(.*4.*\) in this .*: make .*strict=False"
        ) as it:
            model.load_state_dict(state)
        assert isinstance(it.value, RuntimeError)  # as PyTorch's own
    assert all(torch.equal(tensor, before[name]) for name, tensor in conv.state_dict().items())


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("weighted", [False, True])
def test_training_after_inference_mode(conv, weighted):
    """What is kept with a graph, and weights of edges, may come from inference mode."""
    graph, feat, conv = random_graph(), features(20), make(conv)
    with torch.inference_mode():
        weight = torch.rand(80, generator=torch.Generator().manual_seed(4)) if weighted else None
        call(conv, graph, feat, edge_weight=weight)
    for other, its in ((graph, weight), (random_graph(), weight if weight is None else weight.clone())):
        out = call(conv, other, feat, edge_weight=its)
        (out.square() if other is graph else -out.square()).sum().backward()
    for parameter in conv.parameters():
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=1e-5)


def test_files_written_by_a_step_are_small():
    """Nothing of a graph or a tape is saved with a layer."""
    conv, buffer = make("equilibrium-implicit"), io.BytesIO()
    conv(random_graph(), features(20)).sum().backward()
    conv.zero_grad(set_to_none=True)
    torch.save(conv, buffer)
    assert buffer.tell() < 40_000
