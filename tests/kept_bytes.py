"""What a forward pass keeps for the backward pass, counted."""

import torch


def kept_bytes(model, compute):
    """Bytes that compute() keeps for a backward pass, the parameters of `model` left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            held[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = compute()
    del result
    return sum(size for size, _ in held.values())
