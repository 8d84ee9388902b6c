"""A device that no machine has to have: tensors say that they live on it, and compute on the CPU.

Whatever would fail on a real one fails here: an operation on tensors of both devices, and reading one as numpy. Torch
has a device of this kind without values, `meta`, under whose name this one goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")
_aten = torch.ops.aten


class DevicesMixedError(RuntimeError):
    """Tensors of two devices in one operation."""


@dataclass
class Crossings:
    """Copies between the CPU and the device."""

    to_device: int = 0
    to_cpu: int = 0


@contextmanager
def pretended() -> Iterator[Crossings]:
    """While it lasts, what is made on DEVICE or moved there has values."""
    mode = _Mode()
    with mode:
        yield mode.crossings


class _Pretending(Tensor):
    """A tensor of DEVICE; its values are `held`, on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _Pretending:
        with torch.inference_mode(held.is_inference()):  # a view shares this with what it is a view of
            made: _Pretending = Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=DEVICE,
            )
        made.held = held
        return made

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # What the mode does not see as an operation of its own.
        if func == Tensor.data.__get__:
            return args[0].detach()
        if func == Tensor.data.__set__:
            parameter, value = args
            assert (parameter.shape, parameter.stride()) == (value.shape, value.stride())
            parameter.held = value.held
            return None
        if func == Tensor.tolist:
            return args[0].cpu().tolist()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside of pretended()")


class _Mode(TorchDispatchMode):
    """Sees every operation of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.crossings = Crossings()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # inference mode hands over operations that consist of others, such as `to`
            decomposed = func.decompose(*args, **kwargs)
        if decomposed is not NotImplemented:
            return decomposed
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        pretending = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, _Pretending)}
        if func in (_aten._to_copy.default, _aten.copy_.default):
            source = args[0] if func is _aten._to_copy.default else args[1]
            target = kwargs.get("device", source.device) if func is _aten._to_copy.default else args[0].device
            self._count(source.device, target)
            on_device = target == DEVICE
        elif func is _aten._local_scalar_dense.default:
            self._count(args[0].device, torch.device("cpu"))
            on_device = False
        elif tensors:
            on_device = bool(pretending)
            if on_device and not all(isinstance(tensor, _Pretending) for tensor in tensors):
                raise DevicesMixedError(f"{func}: " + ", ".join(f"{tuple(t.shape)} on {t.device}" for t in tensors))
        else:
            on_device = kwargs.get("device") == DEVICE
        if kwargs.get("device") == DEVICE:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        result = func(*_held(args), **_held(kwargs))
        if not on_device:
            return result

        def give_out(tensor: Tensor) -> Tensor:  # in-place operations and those with `out` return what they were given
            return pretending[id(tensor)] if id(tensor) in pretending else _Pretending(tensor)

        return tree_map_only(Tensor, give_out, result)

    def _count(self, source: torch.device, target: torch.device) -> None:
        self.crossings.to_device += (source, target) == (torch.device("cpu"), DEVICE)
        self.crossings.to_cpu += (source, target) == (DEVICE, torch.device("cpu"))


def _held(values: Any) -> Any:
    return tree_map_only(_Pretending, lambda tensor: tensor.held, values)
