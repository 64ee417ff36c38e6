//! The sums that FastViT's checkpoints are, [folded](crate::folded) to convolutions.
//!
//! MobileOne (Vasu et al., 2022, arXiv:2206.04040), the large kernels of RepLKNet (Ding et al., 2022, arXiv:2203.06717)
//! and FastViT's RepMixer and positions: [`mobile_one`], [`large_kernel`], [`rep_mixer`], [`rep_positions`]. Where a
//! checkpoint has them folded, that is read.

use tiny_vlm_memory::AlignedVec;
use tiny_vlm_weights::Scope;

use super::names::Names;
use crate::folded::{Affine, Folded, Sizes};

/// What keeps a batch normalisation from dividing by zero.
const EPSILON: f32 = 1e-5;

/// Where a folded convolution is kept.
const FOLDED: &str = "reparam_conv";

/// A convolution at `conv`, and the normalisation behind it at `bn`.
pub(super) fn normalised(scope: &Scope<'_>, sizes: Sizes) -> Folded {
    Folded::normalised(&scope.scope("conv"), &scope.scope("bn"), sizes, EPSILON)
}

/// Branches of a MobileOne block beside the one that it always has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branches {
    /// One of 1 × 1, beside a larger kernel.
    pub(super) scale: bool,
    /// One without a kernel, where as many channels come out as go in and no pixels are skipped.
    pub(super) identity: bool,
}

/// `bn(x ∗ W) + bn(x ∗ w) + bn(x)`, of which `w` is 1 × 1.
pub(super) fn mobile_one(scope: &Scope<'_>, names: &Names, sizes: Sizes, branches: Branches) -> Folded {
    let folded = scope.scope(FOLDED);
    if folded.contains("weight") {
        return Folded::plain(&folded, sizes);
    }
    let mut sum = normalised(&scope.scope(names.branches).scope(0), sizes);
    if branches.scale && sizes.side > 1 {
        sum = sum.plus(&normalised(&scope.scope(names.scale), Sizes { side: 1, ..sizes }));
    }
    if branches.identity {
        sum = sum.plus_channels(&Affine::of_norm(&scope.scope(names.identity), sizes.outputs, EPSILON));
    }
    sum
}

/// `bn(x ∗ W) + bn(x ∗ w)`, of which `w` is 3 × 3.
pub(super) fn large_kernel(scope: &Scope<'_>, names: &Names, sizes: Sizes) -> Folded {
    let folded = scope.scope(names.large_folded);
    if folded.contains("weight") {
        return Folded::plain(&folded, sizes);
    }
    let small = normalised(&scope.scope("small_conv"), Sizes { side: 3, ..sizes });
    normalised(&scope.scope(names.large), sizes).plus(&small)
}

/// `x + γ · (mixer(x) − norm(x))`, where the mixer is a MobileOne block.
pub(super) fn rep_mixer(scope: &Scope<'_>, names: &Names, channels: usize) -> Folded {
    let (sizes, folded) = (Sizes::depthwise(channels, 3), scope.scope(FOLDED));
    if folded.contains("weight") {
        return Folded::plain(&folded, sizes);
    }
    let branches = Branches { scale: true, identity: true };
    let mixer = mobile_one(&scope.scope("mixer"), names, sizes, branches);
    let norm = Affine::of_norm(&scope.scope("norm").scope(names.identity), channels, EPSILON);
    let scale = layer_scale(scope, names, "layer_scale", channels);
    mixer.plus_channels(&norm.negated()).scaled(&scale).plus_channels(&Affine::identity(channels))
}

/// `x + x ∗ W`: conditional positional encoding (Chu et al., 2021, arXiv:2102.10882).
pub(super) fn rep_positions(scope: &Scope<'_>, names: &Names, sizes: Sizes) -> Folded {
    let folded = scope.scope(FOLDED);
    if folded.contains("weight") {
        return Folded::plain(&folded, sizes);
    }
    let positions = Folded::plain(&scope.scope(names.positions), sizes);
    positions.plus_channels(&Affine::identity(sizes.outputs))
}

/// The factor of each channel of a branch.
pub(super) fn layer_scale(scope: &Scope<'_>, names: &Names, leaf: &str, channels: usize) -> AlignedVec<f32> {
    scope.vector(&format!("{leaf}{}", names.gamma), channels)
}
