"""Models in folders: weights in safetensors, everything else in JSON, and the data that they were made for."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from dgl_dysign.errors import ConfigError, DataError
from dgl_dysign.models import _data_card, _model_folder
from dgl_dysign.models.inputs import NodeInputs

if TYPE_CHECKING:
    from dgl_dysign.data import TemporalGraph

_PLAIN = (bool, int, float, str, type(None))
_NOT_SETTINGS = ("training", "node_inputs", "card", "node_names", "num_nodes")
Model = TypeVar("Model", bound="Pretrained")


class Pretrained(nn.Module):
    """A model that is saved as a folder and made from one: what `DySIGN`, `UnderGS` and `SpikingUnderGS` share.

    A model folder has ``model.safetensors`` (weights; raw ids where the model has learned something of each node) and
    ``config.json`` (class, arguments, versions, the data's manifest hash and shapes, preprocessing). There are no
    pickles: loading runs no code of the folder. See docs/model-files.md.

    Attributes
    ----------
    node_inputs : NodeInputs or None
        How the model's input is read from a prepared folder.
    card : dict or None
        What is known of the data that the model was made for.
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
    _made_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let each model remember the arguments of its class: a folder needs them to make it again."""
        super().__init_subclass__(**options)
        make = vars(cls).get("__init__")
        if make is not None:

            @functools.wraps(make)
            def remember(self: Any, *args: Any, **kwargs: Any) -> None:
                vars(self).setdefault("_made_with", (args, kwargs))  # of the outermost class alone
                make(self, *args, **kwargs)

            setattr(cls, "__init__", remember)  # noqa: B010 (no assignment to a method for mypy)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that the model was made with, defaults included.

        Raises
        ------
        ConfigError
            If one is code, such as a solver of one's own, which a folder cannot hold.
        """
        args, kwargs = self._made_with
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        names = list(signature.parameters.values())[1:]
        found = {p.name: bound.arguments[p.name] for p in names if p.kind is not p.VAR_KEYWORD}
        for parameter in names:
            if parameter.kind is parameter.VAR_KEYWORD:
                found |= bound.arguments[parameter.name]
        return {name: _model_folder.as_json(name, value) for name, value in found.items()}

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        data: TemporalGraph | None = None,
        inputs: NodeInputs | None = None,
        *,
        overwrite: bool = False,
    ) -> Path:
        """Save the model as a folder, which appears whole or not at all.

        Parameters
        ----------
        folder : path
            A new one.
        data : TemporalGraph, optional
            What the model was trained on: data of another shape will be refused. Default: what it was loaded with.
        inputs : NodeInputs, optional
            How its input is read from such data, for `dgl_dysign.models.predict.predict`. Default: what it was
            loaded with.
        overwrite : bool, default False
            Replace a model folder that is there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        ConfigError
            If the folder is there, data or inputs do not fit the model, or an argument or setting cannot be saved.
        """
        _model_folder.check_target(folder, overwrite)
        self.describe(data, inputs)
        return _model_folder.write_folder(folder, *self.folder_parts(), overwrite)

    def describe(self, data: TemporalGraph | None, inputs: NodeInputs | None = None) -> None:
        """Take note of the data that the model was trained on, and of how its input is read from it.

        Raises
        ------
        ConfigError
            If they do not fit the model.
        """
        inputs = inputs or self.node_inputs
        if data is not None:
            given = {"num_nodes": data.num_nodes, **({} if inputs is None else self.given(inputs, data))}
            for name, value in self.arguments().items():
                if given.get(name, value) != value:
                    raise ConfigError(
                        f"the model was made with {name}={value}, but data and inputs give {given[name]}: pass those "
                        f"that it was trained with"
                    )
            self.card = _data_card.data_card(data)
            by_node = self._tables() or (inputs is not None and inputs.labels is not None)
            self.node_names = _data_card.node_names(data) if by_node else None
        self.node_inputs = inputs

    def given(self, inputs: NodeInputs, data: TemporalGraph) -> dict[str, int]:
        """Return the arguments that a model must have been made with to read some data in some way."""
        raise NotImplementedError

    def folder_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what the two files of a folder hold.

        Raises
        ------
        ConfigError
            If the model is not any more what its arguments make.
        """
        arguments = self.arguments()
        _check_settings(settings(type(self)._made(arguments)), settings(self))
        tensors = {f"model.{name}": value for name, value in self.state_dict().items()}
        preprocessing = None
        if self.node_inputs is not None:
            plain, more = self.node_inputs.parts()
            preprocessing = _model_folder.as_json("inputs", plain)
            tensors |= more
        if self.node_names is not None:
            tensors["nodes"] = _model_folder.json_tensor(self.node_names)
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
        """Make the model of a folder, in evaluation mode.

        Parameters
        ----------
        folder : path
            As `save_pretrained` wrote it.
        data : TemporalGraph, optional
            What it shall predict: the data of its training, or that with later snapshots. Nodes are known again by
            their raw ids; nodes that the training had not get a vector of zeros.
        device : device, default "cpu"
            Where the model goes.

        Returns
        -------
        model
            With the numbers that it had when it was saved, bit for bit, and in their precision.

        Raises
        ------
        DataError
            If a file is missing or damaged, holds a model of another class or a later format, or `data` is of another
            shape than that of the training.
        """
        config = _model_folder.read_config(folder, cls.__name__)
        model = cls.restored(folder, config, _model_folder.read_tensors(folder, config))
        return (model if data is None else model.fitted(data)).to(device)

    @classmethod
    def restored(
        cls: type[Model], folder: str | os.PathLike[str], config: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> Model:
        """Return the model of `folder_parts`.

        Raises
        ------
        DataError
            If they make none; names the folder.
        """
        with _model_folder.reading(folder, cls.__name__):
            model = cls._made(config["arguments"])
            _check_settings(config["settings"], settings(model), f"dgl-dysign {config['dgl_dysign']} saved it with ")
            model.load_state_dict(
                {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}, assign=True
            )
            model.card = config["data"]
            if config["preprocessing"] is not None:
                model.node_inputs = NodeInputs.of(config["preprocessing"], tensors)
            if "nodes" in tensors:
                model.node_names = _model_folder.from_json_tensor(tensors["nodes"])
        return model.eval()

    @classmethod
    def _made(cls: type[Model], arguments: Mapping[str, Any]) -> Model:
        with torch.random.fork_rng([]):  # the caller's random numbers are not touched
            return cls(**arguments)

    def check_data(self, data: TemporalGraph) -> None:
        """Raise unless the model can read some data.

        Raises
        ------
        DataError
            If the data is of another shape, or has other nodes than the model.
        """
        if self.card is not None and not _data_card.check_card(self.card, data, self._reads()):
            return
        if self._places(data) is not None:
            raise DataError(
                f"{data.folder}: found other nodes than the model has; load it anew for this data: "
                f"{type(self).__name__}.from_pretrained(folder, data)"
            )

    def fitted(self: Model, data: TemporalGraph) -> Model:
        """Return the model for data in which nodes may be more, or have other numbers.

        Raises
        ------
        DataError
            If the data is of another shape, or lacks nodes of the training.
        """
        if self.card is not None and not _data_card.check_card(self.card, data, self._reads()):
            return self
        places = self._places(data)
        if places is None:
            return self
        if self.card is None:
            raise DataError(
                f"{data.folder}: found {data.num_nodes} nodes, but the model has {self.arguments()['num_nodes']}, and "
                f"was saved without the data that says which: save it again with data="
            )
        arguments, state = self.arguments(), dict(self.state_dict())
        if "num_nodes" in arguments:
            arguments["num_nodes"] = data.num_nodes
        for name in self._tables():
            state[name] = state[name].new_zeros(data.num_nodes, state[name].shape[1]).index_copy(0, places, state[name])
        model = type(self)._made(arguments)
        model.load_state_dict(state, assign=True)
        model.node_inputs = None if self.node_inputs is None else self.node_inputs.renumbered(places)
        model.describe(data)
        return model.train(self.training)

    def is_of(self, data: TemporalGraph) -> bool:
        """Tell whether the model was made for this very folder: whether the manifests are the same."""
        return self.card is not None and not _data_card.check_card(self.card, data, ())

    def _reads(self) -> list[str]:
        """Return what must be equal in the data of the training and in that of a prediction."""
        arguments = self.arguments()
        features = ["features"] if arguments.get("node_feats", 1) else []
        return [*_data_card.ALWAYS, *features, *(["class_names"] if arguments["num_classes"] else [])]

    def _tables(self) -> list[str]:
        """Return the names of the weights that have a row for each node."""
        return [f"{name}.weight" for name, part in self.named_modules() if isinstance(part, nn.Embedding)]

    def _places(self, data: TemporalGraph) -> Tensor | None:
        """Return where each of the model's nodes stands in the data; None if nothing has to change."""
        if self.node_names is not None:
            return _data_card.new_places(self.node_names, data)
        found = self.arguments().get("num_nodes", data.num_nodes)
        return None if found == data.num_nodes else torch.arange(0)


def settings(model: nn.Module) -> dict[str, Any]:
    """Return the plain values that the parts of a model hold: what arguments, and defaults of this version, became."""
    found = {}
    for path, part in model.named_modules():
        stateful = type(part).get_extra_state is not nn.Module.get_extra_state  # its attributes are in state_dict
        if type(part).__module__.startswith("dgl_dysign.") and not stateful:
            for name, value in vars(part).items():
                if isinstance(value, _PLAIN) and not name.startswith("_") and name not in _NOT_SETTINGS:
                    found[f"{path}.{name}".lstrip(".")] = value
    return found


def _check_settings(expected: Mapping[str, Any], found: Mapping[str, Any], who: str = "its arguments make ") -> None:
    for name, value in found.items():
        if name in expected and expected[name] != value:
            raise ConfigError(
                f"{name} is {value!r}, but {who}{expected[name]!r}: make a model with the value that is meant, and "
                f"load the weights into it (load_state_dict)"
            )
