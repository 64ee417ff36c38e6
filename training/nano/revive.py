"""Goes on training from the exported checkpoint where the runs themselves are gone. `python -m nano.revive [PART...]`.

Writes runs/STAGE.pt with no time spent. Batch norms were folded into their convolutions, so each gets the mean and
variance that it now sees on a training batch, and the scale and shift that leave its output as it was.
"""

import sys

import torch

from . import export, model, train_lines, train_reader, train_things, train_tower

MASTER = export.MASTER


def unfold(network, images):
    """Sets every batch norm of a restored network from what its convolution makes of `images`."""

    def settle(conv, inputs):
        with torch.no_grad():
            made = conv.conv(inputs[0])
            mean, variance = made.mean((0, 2, 3)), made.var((0, 2, 3), unbiased=False)
            norm = conv.norm
            norm.eps = 1e-5
            norm.bias.data += mean
            norm.weight.data = torch.sqrt(variance + norm.eps)
            norm.running_mean, norm.running_var = mean, variance.clone()

    hooks = [m.register_forward_pre_hook(settle) for m in network.modules() if isinstance(m, model.Conv)]
    with torch.no_grad():
        network.eval()(images)
    for hook in hooks:
        hook.remove()


def example(part):
    """A batch of what the part is trained on."""
    if part == "tower":
        return train_tower.as_input(next(iter(train_tower.Glimpses(0, 128)))[0])
    if part == "things":
        return train_tower.as_input(next(iter(train_things.Scenes(0, 64)))[0])
    if part == "lines":
        return next(iter(train_lines.Pictures(0, 24)))[0].float() / 255
    return next(iter(train_reader.Strips(0)))[0]


def naming(fusion):
    """The heads that the tower is trained with: the model keeps them as codebooks."""
    head = train_tower.Naming()
    for name in ("label", "colour"):
        getattr(head, name).load_state_dict(getattr(fusion, name).state_dict())
    return head


def main():
    wanted = sys.argv[1:] or ["tower", "things", "lines", "reader", "answer"]
    networks = export.restore(export.load(MASTER))
    export.RUNS.mkdir(exist_ok=True)
    for stage in wanted:
        path = export.RUNS / f"{stage}.pt"
        if path.exists():
            print(f"{path} is there already")
            continue
        modules = {part: networks[part] for part, of in export.PARTS.items() if of == stage}
        if stage != "answer":
            unfold(modules[stage], example(stage))
        if stage == "tower":
            modules["naming"] = naming(networks["fusion"])
        torch.save({"modules": {k: m.state_dict() for k, m in modules.items()}, "spent": 0.0, "step": 0, "seen": 0}, path)
        print(f"{path}: from {MASTER}")


if __name__ == "__main__":
    main()
