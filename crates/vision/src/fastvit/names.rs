//! What checkpoints call the parts of a network.

use tiny_vlm_weights::Scope;

/// One way to name the parts. Where stages lie differs beyond names: [`Stages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The three convolutions that come first, by their numbers.
    pub(super) stem: &'static str,
    /// A MobileOne block's branches of the kernel's size, by their numbers.
    pub(super) branches: &'static str,
    /// Its branch of 1 × 1.
    pub(super) scale: &'static str,
    /// Its branch without a kernel.
    pub(super) identity: &'static str,
    /// A large kernel's own branch.
    pub(super) large: &'static str,
    /// A large kernel with its branches folded.
    pub(super) large_folded: &'static str,
    /// Positions as a convolution that is added to what it sees.
    pub(super) positions: &'static str,
    /// The feed-forward layer.
    pub(super) mlp: &'static str,
    /// What follows the name of a layer scale.
    pub(super) gamma: &'static str,
    /// Squeeze and excitation: to few channels and back.
    pub(super) squeeze: [&'static str; 2],
    /// The convolution that comes last.
    pub(super) last: &'static str,
    stages: Stages,
}

/// Where a stage's parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stages {
    /// Each stage has a place of its own, and each part within it.
    Nested,
    /// One list holds a place for each large kernel, each positional convolution and each stage's blocks.
    Listed,
}

/// Where the parts of one stage are.
pub(super) struct StagePlaces<'p> {
    /// The large kernel and what follows it.
    pub(super) down: Scope<'p>,
    /// The positions.
    pub(super) positions: Scope<'p>,
    /// The blocks, by their numbers.
    pub(super) blocks: Scope<'p>,
}

impl Names {
    /// Those of `timm`, and of what `transformers` wraps.
    pub(super) const TIMM: Self = Self {
        stem: "stem",
        branches: "conv_kxk",
        scale: "conv_scale",
        identity: "identity",
        large: "large_conv",
        large_folded: "reparam_conv",
        positions: "pos_enc",
        mlp: "mlp",
        gamma: ".gamma",
        squeeze: ["fc1", "fc2"],
        last: "final_conv",
        stages: Stages::Nested,
    };

    /// Those of Apple's repositories.
    pub(super) const APPLE: Self = Self {
        stem: "patch_embed",
        branches: "rbr_conv",
        scale: "rbr_scale",
        identity: "rbr_skip",
        large: "lkb_origin",
        large_folded: "lkb_reparam",
        positions: "pe",
        mlp: "convffn",
        gamma: "",
        squeeze: ["reduce", "expand"],
        last: "conv_exp",
        stages: Stages::Listed,
    };

    /// The names that the network below `scope` has: Apple's if its stem is there.
    pub(super) fn of(scope: &Scope<'_>) -> &'static Self {
        let stem = scope.scope(Self::APPLE.stem).scope(0);
        let branch = stem.scope(Self::APPLE.branches).scope(0);
        let apple = stem.contains("reparam_conv.weight") || branch.contains("conv.weight");
        if apple { &Self::APPLE } else { &Self::TIMM }
    }

    /// Where each stage's parts are, for stages of which the first `convolutional` have no positions.
    pub(super) fn stages<'p>(
        &self,
        scope: &Scope<'p>,
        stages: usize,
        convolutional: usize,
    ) -> Vec<StagePlaces<'p>> {
        let mut next = 0;
        let mut take = |there: bool| {
            let place = scope.scope("network").scope(next);
            next += usize::from(there);
            place
        };
        let place = |stage: usize| match self.stages {
            Stages::Nested => {
                let stage = scope.scope("stages").scope(stage);
                StagePlaces {
                    down: stage.scope("downsample.proj"),
                    positions: stage.scope("pos_emb"),
                    blocks: stage.scope("blocks"),
                }
            }
            Stages::Listed => StagePlaces {
                down: take(stage > 0).scope("proj"),
                positions: take(stage >= convolutional),
                blocks: take(true),
            },
        };
        (0..stages).map(place).collect()
    }
}
