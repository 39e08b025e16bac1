"""The equations of the gradient methods on torch tensors of any float type.

`act` is a layer's activation `[C, h, w]` of one image, `grad` the gradient of the class's score
there. Each function returns the map before its normalisation, `[h, w]`. The equations are those of
the papers; the ones of the article are at the end.
"""

import math

import torch


def weighted(weights, act):
    """A map of one weight for each channel."""
    return torch.relu(torch.einsum("k,khw->hw", weights, act))


def grad_cam_weights(grad):
    return grad.mean(dim=(1, 2))


def grad_cam_plus_plus_weights(act, grad):
    """Of the logit, without the factor exp(y), which cancels."""
    total = act.sum(dim=(1, 2), keepdim=True)
    denominator = 2 * grad**2 + total * grad**3
    denominator = torch.where(denominator == 0, torch.ones_like(denominator), denominator)
    alpha = torch.where(grad == 0, torch.zeros_like(grad), grad**2 / denominator)
    return (alpha * torch.relu(grad)).sum(dim=(1, 2))


def grad_cam(act, grad):
    return weighted(grad_cam_weights(grad), act)


def grad_cam_plus_plus(act, grad):
    return weighted(grad_cam_plus_plus_weights(act, grad), act)


def layer_cam(act, grad):
    return torch.relu((torch.relu(grad) * act).sum(0))


def hires_cam(act, grad):
    return torch.relu((grad * act).sum(0))


def article_grad_cam_plus_plus(act, grad, probability):
    """`grad` is the gradient of the probability; each channel's alphas are divided by their sum.

    A denominator or a sum of 0 counts as 1.
    """
    factor = math.exp(probability)
    first, second, third = factor * grad, factor * grad**2, factor * grad**3
    denominator = 2 * second + third * act.sum(dim=(1, 2), keepdim=True)
    denominator = torch.where(denominator == 0, torch.ones_like(denominator), denominator)
    alpha = second / denominator
    sums = alpha.sum(dim=(1, 2), keepdim=True)
    alpha = alpha / torch.where(sums == 0, torch.ones_like(sums), sums)
    return weighted((torch.relu(first) * alpha).sum(dim=(1, 2)), act)


METHODS = {
    "gradcam": grad_cam,
    "gradcam++": grad_cam_plus_plus,
    "layercam": layer_cam,
    "hirescam": hires_cam,
}


def over_max(cam):
    """Divides a map by its maximum; an empty map stays all zeros."""
    peak = cam.max()
    return cam / peak if peak > 0 else torch.zeros_like(cam)
