"""Saving and loading: models in folders of weights (safetensors) and JSON, with the data that they were made for.

A folder has ``model.safetensors`` and ``config.json``, is there whole or not at all, and holds no code. First comes
`Pretrained`, then what a folder remembers of the data, then the two files themselves.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dgl_dysign import __version__
from dgl_dysign.data import schema
from dgl_dysign.data.temporal_graph import TemporalGraph
from dgl_dysign.errors import ConfigError, DataError, DGLDySignError, check_growth
from dgl_dysign.files import read_json, replace_folder, write_json
from dgl_dysign.models.inputs import NodeInputs
from dgl_dysign.models.node_table import NodeTable
from dgl_dysign.ops._checks import Layer

FORMAT, FORMAT_VERSION = "dgl_dysign model", 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
#: Keys of a config, and what they hold.
_KINDS: dict[str, Any] = {
    "class": str, "arguments": dict, "settings": dict, "data": (dict, type(None)), "preprocessing": (dict, type(None)),
    "files": dict,
}  # fmt: skip
_PLAIN = (bool, int, float, str, type(None))
_NOT_SETTINGS = ("training", "node_inputs", "card", "node_names", "num_nodes")
#: What must be equal in the data of the training and in that of a prediction, whatever the model.
ALWAYS = ("dataset", "directed", "snapshot_rule", "edge_weight")
_SHAPES = (*ALWAYS, "num_nodes", "num_snapshots", "num_edges", "class_names", "features", "edge_features")
_REMEDY = {
    "snapshot_rule": "prepare it with the rule that the model knows",
    "features": "prepare it with the same --features and their options",
    "class_names": "prepare it with the labels that the model was trained on, or train a model on this data",
}
#: What arguments that do not fit make a class raise.
_MISFITS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
Model = TypeVar("Model", bound="Pretrained")


class Pretrained(Layer):
    """A model that is saved as a folder and made from one: what all models here share.

    A model folder has ``model.safetensors`` (weights; raw ids where the model has learned something of each node) and
    ``config.json`` (class, arguments, versions, the data's manifest hash and shapes, preprocessing). There are no
    pickles: loading runs no code of the folder. See docs/model-files.md.

    Attributes
    ----------
    node_inputs, card : NodeInputs or None, dict or None
        How the model's input is read from a prepared folder; what is known of the data that it was made for.
    node_names : list or None
        Type and raw id of each node, where the model has learned something of each.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from dgl_dysign.models import UnderGS
    >>> model = UnderGS(5, hidden_feats=8).eval()
    >>> folder = model.save_pretrained(f"{tempfile.mkdtemp()}/model")
    >>> again = UnderGS.from_pretrained(folder)
    >>> store, nodes = model.store(), torch.arange(5)
    >>> torch.equal(again.embed(store, nodes, now=0), model.embed(store, nodes, now=0))
    True
    """

    node_inputs: NodeInputs | None = None
    card: dict[str, Any] | None = None
    node_names: list[list[str | None]] | None = None
    _own_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let each model remember the arguments of its class: a folder needs them to make it again."""
        super().__init_subclass__(**options)
        make = vars(cls).get("__init__")
        if make is not None:

            @functools.wraps(make)
            def remember(self: Any, *args: Any, **kwargs: Any) -> None:
                vars(self).setdefault("_own_arguments", (args, kwargs))  # of the outermost class alone
                make(self, *args, **kwargs)

            setattr(cls, "__init__", remember)  # noqa: B010 (no assignment to a method for mypy)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that the model was made with, defaults included.

        Raises ``ConfigError`` if one is code, such as a solver of one's own, which a folder cannot hold.
        """
        bound = self._bound()
        bound.apply_defaults()
        names = list(bound.signature.parameters.values())[1:]
        values = {p.name: bound.arguments[p.name] for p in names if p.kind is not p.VAR_KEYWORD}
        for parameter in names:
            if parameter.kind is parameter.VAR_KEYWORD:
                values |= bound.arguments[parameter.name]
        return {name: as_json(name, value) for name, value in values.items()}

    def _bound(self) -> inspect.BoundArguments:
        args, kwargs = self._own_arguments
        return inspect.signature(type(self).__init__).bind(self, *args, **kwargs)

    def grow(self, num_nodes: int) -> None:
        """Have more nodes from now on: the old ones keep their numbers and vectors, the new ones have vectors of zeros.

        So does ``from_pretrained(folder, data)`` for data with more nodes. Vectors of nodes become another parameter:
        make optimisers anew. A model that knows no number of nodes, as `DySIGN`, stays as it is.

        Raises
        ------
        ConfigError
            If there would be fewer nodes.

        Examples
        --------
        >>> from dgl_dysign.models import UnderGS
        >>> model = UnderGS(5, hidden_feats=8)
        >>> model.grow(7)
        >>> model.num_nodes, model.store().num_nodes, model.inputs.table.weight.shape
        (7, 7, torch.Size([7, 8]))
        """
        models = [(part, part._bound()) for part in self.modules() if isinstance(part, Pretrained)]
        models = [(part, bound) for part, bound in models if "num_nodes" in bound.arguments]
        for _, bound in models:
            check_growth("the model", bound.arguments["num_nodes"], num_nodes)
        for part, bound in models:
            bound.arguments["num_nodes"] = int(num_nodes)
            part._own_arguments = bound.args[1:], bound.kwargs
            vars(part)["num_nodes"] = int(num_nodes)
        for table in self.modules():
            if isinstance(table, NodeTable):
                table.grow(int(num_nodes))

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        data: TemporalGraph | None = None,
        inputs: NodeInputs | None = None,
        *,
        overwrite: bool = False,
    ) -> Path:
        """Save the model as a folder, which appears whole or not at all; return its path.

        Parameters
        ----------
        folder : path
            A new one.
        data : TemporalGraph, optional
            What the model was trained on: data of another shape will be refused. Default: what it was loaded with.
        inputs : NodeInputs, optional
            How its input is read from such data, for `dgl_dysign.models.predict.predict`; the same default.
        overwrite : bool, default False
            Replace a model folder that is there.

        Raises
        ------
        ConfigError
            If the folder is there, data or inputs do not fit the model, or an argument or setting cannot be saved.
        """
        check_target(folder, overwrite)
        self.describe(data, inputs)
        return write_folder(folder, *self.folder_parts(), overwrite)

    def describe(self, data: TemporalGraph | None, inputs: NodeInputs | None = None) -> None:
        """Take note of the data that the model was trained on, and of how its input is read from it.

        Raises ``ConfigError`` if they do not fit the model.
        """
        inputs = inputs or self.node_inputs
        if data is not None:
            needed = {"num_nodes": data.num_nodes, **({} if inputs is None else self.arguments_for(inputs, data))}
            for name, value in self.arguments().items():
                if needed.get(name, value) != value:
                    raise ConfigError(
                        f"the model was made with {name}={value}, but data and inputs give {needed[name]}: pass those "
                        f"that it was trained with"
                    )
            self.card = data_card(data)
            by_node = self._tables() or (inputs is not None and inputs.labels is not None)
            self.node_names = node_names(data) if by_node else None
        self.node_inputs = inputs

    def arguments_for(self, inputs: NodeInputs, data: TemporalGraph) -> dict[str, int]:
        """Return the arguments that a model must have been made with to read some data in some way."""
        raise NotImplementedError

    def folder_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what the two files of a folder hold.

        Raises ``ConfigError`` if the model is not any more what its arguments make.
        """
        arguments = self.arguments()
        _check_settings(settings(type(self)._build(arguments)), settings(self))
        tensors = {f"model.{name}": value for name, value in self.state_dict().items()}
        preprocessing = None
        if self.node_inputs is not None:
            plain, more = self.node_inputs.parts()
            preprocessing = as_json("inputs", plain)
            tensors |= more
        if self.node_names is not None:
            tensors["nodes"] = json_tensor(self.node_names)
        config = {
            "class": type(self).__name__,
            "arguments": arguments,
            "settings": settings(self),
            "data": self.card,
            "preprocessing": preprocessing,
        }
        return config, tensors

    @classmethod
    def from_pretrained(
        cls: type[Model],
        folder: str | os.PathLike[str],
        data: TemporalGraph | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> Model:
        """Make the model of a folder, in evaluation mode, with the numbers that it had when it was saved, bit for bit.

        Parameters
        ----------
        folder : path
            As `save_pretrained` wrote it.
        data : TemporalGraph, optional
            What it shall predict: the data of its training, or that with later snapshots. Nodes are known again by
            their raw ids; nodes that the training had not get a vector of zeros.
        device : device, default "cpu"
            Where the model goes.

        Raises
        ------
        DataError
            If a file is missing or damaged, holds a model of another class or a later format, or `data` is of another
            shape than that of the training.
        """
        config = read_config(folder, cls.__name__)
        model = cls.restored(folder, config, read_tensors(folder, config))
        return (model if data is None else model.fitted(data)).to(device)

    @classmethod
    def restored(
        cls: type[Model], folder: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Model:
        """Return the model of `folder_parts`; raise a ``DataError`` that names the folder if they make none."""
        with reading(folder, cls.__name__):
            model = cls._build(config["arguments"])
            _check_settings(config["settings"], settings(model), f"dgl-dysign {config['dgl_dysign']} saved it with ")
            model.load_state_dict(
                {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}, assign=True
            )
            model.card = config["data"]
            if config["preprocessing"] is not None:
                model.node_inputs = NodeInputs.of(config["preprocessing"], tensors)
            if "nodes" in tensors:
                model.node_names = from_json_tensor(tensors["nodes"])
        return model.eval()

    @classmethod
    def _build(cls: type[Model], arguments: Mapping[str, Any]) -> Model:
        with torch.random.fork_rng([]):  # the caller's random numbers are not touched
            return cls(**arguments)

    def check_data(self, data: TemporalGraph) -> None:
        """Raise ``DataError`` if data is of another shape, or has other nodes than the model."""
        if self._is_like(data):
            return
        places = self._places(data)
        if places is not None:
            more = data.num_nodes > len(places) and torch.equal(places, torch.arange(len(places)))
            raise DataError(
                f"{data.folder}: found other nodes than the model has; load it anew for this data: "
                f"{type(self).__name__}.from_pretrained(folder, data){f', or call grow({data.num_nodes})' * more}"
            )

    def fitted(self: Model, data: TemporalGraph) -> Model:
        """Return the model for data in which nodes may be more, or have other numbers.

        Raises ``DataError`` if the data is of another shape, or lacks nodes of the training.
        """
        if self._is_like(data):
            return self
        places = self._places(data)
        if places is None:
            return self
        if self.card is None:
            raise DataError(
                f"{data.folder}: found {data.num_nodes} nodes, but the model has {self._num_nodes(data)}, and was "
                f"saved without the data that says which: save it again with data=, or call grow({data.num_nodes}) "
                f"where the new nodes come last"
            )
        arguments, state = self.arguments(), dict(self.state_dict())
        if "num_nodes" in arguments:
            arguments["num_nodes"] = data.num_nodes
        for name in self._tables():
            state[name] = state[name].new_zeros(data.num_nodes, state[name].shape[1]).index_copy(0, places, state[name])
        model = type(self)._build(arguments)
        model.load_state_dict(state, assign=True)
        model.node_inputs = None if self.node_inputs is None else self.node_inputs.renumbered(places)
        model.describe(data)
        return model.train(self.training)

    def _is_like(self, data: TemporalGraph) -> bool:
        """Tell whether the data is the model's own; raise ``DataError`` if it is of another shape."""
        same = self.card is not None and not check_card(self.card, data, self._reads())
        return same and self._num_nodes(data) == data.num_nodes

    def _num_nodes(self, data: TemporalGraph) -> int:
        """Return the number of nodes that the model has; of data, where any number will do."""
        return int(self.arguments().get("num_nodes", data.num_nodes))

    def is_of(self, data: TemporalGraph) -> bool:
        """Tell whether the model was made for this very folder: whether the manifests are the same."""
        return self.card is not None and not check_card(self.card, data, ())

    def _reads(self) -> list[str]:
        """Return what must be equal in the data of the training and in that of a prediction."""
        arguments = self.arguments()
        features = ["features"] if arguments.get("node_feats", 1) else []
        return [*ALWAYS, *features, *(["class_names"] if arguments["num_classes"] else [])]

    def _tables(self) -> list[str]:
        """Return the names of the weights that have a row for each node."""
        return [f"{name}.weight" for name, part in self.named_modules() if isinstance(part, NodeTable)]

    def _places(self, data: TemporalGraph) -> Tensor | None:
        """Return where each of the model's nodes stands in the data; None if nothing has to change."""
        own = self._num_nodes(data)
        places = None if self.node_names is None else new_places(self.node_names, data)
        if own > data.num_nodes or (places is not None and self._tables() and len(places) < own):
            raise DataError(
                f"{data.folder}: found {data.num_nodes} nodes, but the model has grown to {own}, of which it knows no "
                f"names: load what was saved before with this data"
            )
        return torch.arange(own) if places is None and own < data.num_nodes else places


def settings(model: nn.Module) -> dict[str, Any]:
    """Return the plain values that the parts of a model hold: what arguments, and defaults of this version, became."""
    values = {}
    for path, part in model.named_modules():
        stateful = type(part).get_extra_state is not nn.Module.get_extra_state  # its attributes are in state_dict
        if type(part).__module__.startswith("dgl_dysign.") and not stateful and not isinstance(part, NodeTable):
            for name, value in vars(part).items():
                if isinstance(value, _PLAIN) and not name.startswith("_") and name not in _NOT_SETTINGS:
                    values[f"{path}.{name}".lstrip(".")] = value
    return values


def _check_settings(expected: Mapping[str, Any], actual: Mapping[str, Any], who: str = "its arguments make ") -> None:
    for name, value in actual.items():
        if name in expected and expected[name] != value:
            raise ConfigError(
                f"{name} is {value!r}, but {who}{expected[name]!r}: make a model with the value that is meant, and "
                f"load the weights into it (load_state_dict)"
            )


def data_card(data: TemporalGraph) -> dict[str, Any]:
    """Return what a config says of a folder: the hash of its manifest, which has those of all files, and shapes."""
    manifest = data.manifest
    return {
        "manifest_sha256": schema.sha256(data.folder / schema.MANIFEST),
        **{key: manifest.get(key) for key in _SHAPES},
        "num_classes": data.num_classes,
        "feature_dim": data.feature_dim,
    }


def check_card(card: dict[str, Any], data: TemporalGraph, keys: Sequence[str]) -> bool:
    """Tell whether a folder is not that of a card; raise ``DataError`` for the first of `keys` that differs."""
    now = data_card(data)
    if now["manifest_sha256"] == card.get("manifest_sha256"):
        return False
    for key in keys:
        if not _alike(now[key], card.get(key)):
            remedy = _REMEDY.get(key, "give it the data that it was trained on, with later snapshots")
            raise DataError(
                f"{data.folder}: found {key} = {now[key]!r}, but the model was trained on {card.get(key)!r}: {remedy}"
            )
    return True


def _alike(one: Any, two: Any) -> bool:
    """Tell whether values are equal; the step of a grid, which is worked out from rounded times, only nearly."""
    if isinstance(one, dict) and isinstance(two, dict):
        steps = one.get("step", 0), two.get("step", 0)
        return {**one, "step": 0} == {**two, "step": 0} and math.isclose(*steps, rel_tol=1e-3)
    return bool(one == two)


def node_names(data: TemporalGraph) -> list[list[str | None]]:
    """Return type and raw id of each node: what makes it known again under another number."""
    table = schema.table(data.folder, "nodes", ["raw_id", "type"])
    return [list(pair) for pair in zip(table["type"].to_pylist(), table["raw_id"].to_pylist(), strict=True)]


def new_places(before: Sequence[Sequence[str | None]], data: TemporalGraph) -> Tensor | None:
    """Return the number that each node of the training has in the data, int64; None where all have kept theirs.

    New nodes may come after them.

    Raises ``DataError`` if a node is not there any more.
    """
    now = node_names(data)
    if [list(pair) for pair in before] == now[: len(before)]:
        return None
    known = {tuple(pair): node for node, pair in enumerate(now)}
    gone = [pair for pair in before if tuple(pair) not in known]
    if gone:
        kind, raw_id = gone[0]
        raise DataError(
            f"{data.folder}: found no node with raw id {raw_id!r}{f' of type {kind!r}' if kind else ''} ({len(gone)} "
            f"such), but the model has learned something of it: give it the data that it was trained on, with later "
            f"snapshots"
        )
    return torch.tensor([known[tuple(pair)] for pair in before], dtype=torch.int64)


def as_json(what: str, value: Any) -> Any:
    """Return a value as JSON gives it back; raise ``ConfigError`` if JSON cannot hold it, such as a function."""
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=lambda number: number.item()))
    except (TypeError, ValueError, AttributeError, RuntimeError):
        raise ConfigError(
            f"{what}={value!r} cannot be saved: a folder holds finite numbers, names and lists, no code: make the "
            f"model with a value that has a name, or save model.state_dict() instead"
        ) from None


def write_folder(
    folder: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, Tensor], overwrite: bool
) -> Path:
    """Write a model folder, which appears whole or not at all, where `check_target` allows it; return its path."""
    target = Path(folder).absolute()
    check_target(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=target.parent))
    try:
        _write_tensors(new / WEIGHTS, tensors)
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "dgl_dysign": __version__}
        files = {"files": {WEIGHTS: schema.sha256(new / WEIGHTS)}}
        write_json(new / CONFIG, {**head, **config, **files})
        new.chmod(0o755)  # temporary folders are for their maker alone
        replace_folder(new, target, new.with_name(new.name.replace(".new-", ".old-")), CONFIG)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return target


def check_target(folder: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise ``ConfigError`` if something is there, unless it is a model folder and `overwrite` is set."""
    target = Path(folder)
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise ConfigError(f"{target} exists: name another folder, or pass overwrite=True")
    if not target.is_dir() or target.is_symlink() or (any(target.iterdir()) and not _is_model(target)):
        raise ConfigError(f"{target} exists and is no model folder, so it is not overwritten: name another")


def _is_model(folder: Path) -> bool:
    try:
        config = read_json(folder / CONFIG)
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        safetensors.torch.save_file(whole, path, {"format": "pt"})
    except SafetensorError as error:  # such as a full disk
        raise DataError(f"{path}: cannot be written ({error}); free some space, or name another folder") from error


def read_config(folder: str | os.PathLike[str], expected: str) -> dict[str, Any]:
    """Return ``config.json``; raise ``DataError`` if it is missing, damaged, of a later format or another class."""
    path = Path(folder) / CONFIG
    try:
        config = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        aside = _set_aside(Path(folder))
        raise DataError(
            f"{folder}: found no {CONFIG}, expected a model folder as save_pretrained writes it{aside}"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); save the model again") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise DataError(f"{path}: found no format {FORMAT!r}, expected the file that save_pretrained writes")
    version = config.get("format_version")
    if type(version) is not int or version < 1:
        raise DataError(f"{path}: found format_version {version!r}, expected {FORMAT_VERSION}; save the model again")
    if version > FORMAT_VERSION:
        raise DataError(
            f"{path}: found format_version {version}, written by dgl-dysign {config.get('dgl_dysign')}, but this "
            f"dgl-dysign ({__version__}) reads up to {FORMAT_VERSION}: upgrade it (pip install -U dgl-dysign)"
        )
    for key, kind in _KINDS.items():
        if key not in config or not isinstance(config[key], kind):
            raise DataError(f"{path}: found {key} = {config.get(key)!r}, which is damaged; save the model again")
    if config["class"] != expected:
        raise DataError(
            f"{path}: found a {config['class']}, expected a {expected}: load it with {config['class']}.from_pretrained"
        )
    return config


def _set_aside(folder: Path) -> str:
    """Name what a save that was killed at its last step moved aside."""
    old = sorted(folder.absolute().parent.glob(f".{folder.name}.old-*")) if folder.name else []
    return f"; a save was killed here and left the model before it in {old[-1]}" if old else ""


def read_tensors(folder: str | os.PathLike[str], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return ``model.safetensors``; raise ``DataError`` unless its bytes are those that the config knows."""
    path, expected = Path(folder) / WEIGHTS, str(config["files"].get(WEIGHTS))
    try:
        digest = schema.sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); save the model again") from error
    if digest != expected:
        raise DataError(
            f"{path}: found SHA-256 {digest[:12]}..., but {CONFIG} says {expected[:12]}...: the file is damaged or "
            f"belongs to another model; copy the folder again, or save the model again"
        )
    try:
        # Copies: the tensors of safetensors may be a view of the file.
        return {name: value.clone() for name, value in safetensors.torch.load_file(path).items()}
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save the model again") from error


@contextmanager
def reading(folder: str | os.PathLike[str], expected: str) -> Iterator[None]:
    """Turn whatever goes wrong with the content of a folder into a :class:`DataError` that names it."""
    try:
        yield
    except DataError:
        raise
    except (DGLDySignError, *_MISFITS) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{Path(folder) / CONFIG}: makes no {expected} ({reason}); save the model again") from error


def json_tensor(value: Any) -> Tensor:
    """Return JSON as bytes in a tensor: what is as long as the data has no place in the config."""
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def from_json_tensor(tensor: Tensor) -> Any:
    """Return the value of `json_tensor`."""
    return json.loads(tensor.numpy().tobytes())
