//! One block: `x += conv(x)`, `x += attention(norm(x))`, `x += conv(x)`, `x += mlp(norm(x))`.

use tiny_vlm_layers::{
    Activation, ChannelAttention, ConvShape, DepthwiseConv2d, Epilogue, LayerError, LayerNorm, Linear, Mlp,
    Residual, ScratchTensor, SelfAttention,
};
use tiny_vlm_tensor::{Context, View, ViewMut};
use tiny_vlm_weights::Scope;

use super::{DavitConfig, DavitLayout};

/// The epsilon of every norm, which configurations do not say.
pub(super) const EPSILON: f32 = 1e-5;

/// What attends to what.
#[derive(Debug)]
enum Mixer {
    /// The tokens of a window of this side to each other.
    Windows { attention: SelfAttention, side: usize },
    /// The channels of a group to each other.
    Channels(ChannelAttention),
}

/// A block of a stage.
#[derive(Debug)]
pub(super) struct Block {
    convs: [DepthwiseConv2d; 2],
    mixer_norm: LayerNorm,
    mixer: Mixer,
    mlp_norm: LayerNorm,
    mlp: Mlp,
}

impl Block {
    /// The block whose tokens attend to those of their window.
    pub(super) fn spatial(
        scope: &Scope<'_>,
        config: &DavitConfig,
        stage: usize,
        layout: DavitLayout,
    ) -> Result<Self, LayerError> {
        Self::load(scope, config, stage, layout, "window_attn", |qkv, projection| {
            let attention = SelfAttention::new(qkv, projection, config.heads[stage])?;
            Ok(Mixer::Windows { attention, side: config.window })
        })
    }

    /// The block whose channels attend to those of their group.
    pub(super) fn channel(
        scope: &Scope<'_>,
        config: &DavitConfig,
        stage: usize,
        layout: DavitLayout,
    ) -> Result<Self, LayerError> {
        Self::load(scope, config, stage, layout, "channel_attn", |qkv, projection| {
            Ok(Mixer::Channels(ChannelAttention::new(qkv, projection, config.groups[stage])?))
        })
    }

    fn load(
        scope: &Scope<'_>,
        config: &DavitConfig,
        stage: usize,
        layout: DavitLayout,
        attention: &str,
        mixer: impl FnOnce(Linear, Linear) -> Result<Mixer, LayerError>,
    ) -> Result<Self, LayerError> {
        let (width, hidden) = (config.widths[stage], config.hidden(stage));
        let conv = |which| {
            let scope = scope.scope(layout.depthwise(which));
            DepthwiseConv2d::load_channels_first(&scope, width, ConvShape::square(3, 1, 1))
        };
        let norm = |name: &str| LayerNorm::load(&scope.scope(name), width, EPSILON);
        let (maps, mlp) = (scope.scope(layout.attention(attention)), scope.scope(layout.mlp()));
        let qkv = Linear::load(&maps.scope("qkv"), width, 3 * width, config.qkv_bias);
        let projection = Linear::load(&maps.scope("proj"), width, width, true);
        Ok(Self {
            convs: [conv(0), conv(1)],
            mixer_norm: norm(&layout.attention_norm(attention)),
            mixer: mixer(qkv, projection)?,
            mlp_norm: norm(layout.mlp_norm()),
            mlp: Mlp::new(
                Linear::load(&mlp.scope("fc1"), width, hidden, true),
                Linear::load(&mlp.scope("fc2"), hidden, width, true),
                Activation::Gelu,
            )?,
        })
    }

    /// What the block makes of a map.
    pub(super) fn apply<'a>(
        &self,
        ctx: &Context<'a>,
        x: ScratchTensor<'a, 3>,
    ) -> Result<ScratchTensor<'a, 3>, LayerError> {
        let ([height, width, channels], add) =
            (x.shape(), Epilogue { residual: Residual::Output, ..Epilogue::default() });
        let tokens = [height * width, channels];
        let mut x = convolved(ctx, &self.convs[0], x)?.reshape(tokens)?;
        let normed = self.mixer_norm.apply(ctx, x.view())?;
        match &self.mixer {
            Mixer::Windows { attention, side } => {
                let windows = Windows { grid: [height, width], side: *side };
                windows.attend(ctx, attention, normed, x.view_mut())?;
            }
            Mixer::Channels(attention) => {
                attention.forward_with(ctx, normed.view(), add, x.view_mut())?;
            }
        }
        let mut x = convolved(ctx, &self.convs[1], x.reshape([height, width, channels])?)?.reshape(tokens)?;
        let normed = self.mlp_norm.apply(ctx, x.view())?;
        self.mlp.forward_with(ctx, normed.view(), add, x.view_mut())?;
        x.reshape([height, width, channels])
    }
}

/// A map plus its convolution.
fn convolved<'a>(
    ctx: &Context<'a>,
    conv: &DepthwiseConv2d,
    x: ScratchTensor<'a, 3>,
) -> Result<ScratchTensor<'a, 3>, LayerError> {
    let [height, width, channels] = x.shape();
    let mut out = ScratchTensor::new(ctx, x.shape())?;
    let pixels = x.view().reshape([height * width, channels])?;
    conv.forward_with(ctx, x.view(), Residual::Add(pixels), out.view_mut())?;
    Ok(out)
}

/// How a grid of tokens is cut into windows. The last ones of a row and a column are filled up with zeros, which are
/// attended to as any token.
struct Windows {
    grid: [usize; 2],
    side: usize,
}

impl Windows {
    /// Adds what the tokens of each window gather from one another to `out`.
    fn attend(
        &self,
        ctx: &Context<'_>,
        attention: &SelfAttention,
        tokens: ScratchTensor<'_, 2>,
        mut out: ViewMut<'_, f32, 2>,
    ) -> Result<(), LayerError> {
        let (channels, window) = (tokens.shape()[1], self.side * self.side);
        let count = self.grid.map(|side| side.div_ceil(self.side)).iter().product::<usize>();
        let mut cut = ScratchTensor::new(ctx, [count * window, channels])?;
        cut.data_mut().fill(0.0);
        self.runs(|grid, cell, len| {
            let from = &tokens.data()[grid * channels..][..len * channels];
            cut.data_mut()[cell * channels..][..len * channels].copy_from_slice(from);
        });
        drop(tokens);
        let mut gathered = ScratchTensor::new(ctx, cut.shape())?;
        attention.forward_windows(ctx, cut.view(), window, Epilogue::default(), gathered.view_mut())?;
        let gathered: View<'_, f32, 2> = gathered.view();
        self.runs(|grid, cell, len| {
            for i in 0..len {
                for (to, from) in out.row_mut(grid + i).iter_mut().zip(gathered.row(cell + i)) {
                    *to += from;
                }
            }
        });
        Ok(())
    }

    /// Calls `body` with each run of tokens that lie side by side in the grid and in a window: the first one's place in
    /// the grid and among the windows' tokens, and how many they are.
    fn runs(&self, mut body: impl FnMut(usize, usize, usize)) {
        let ([height, width], side) = (self.grid, self.side);
        let across = width.div_ceil(side);
        for y in 0..height {
            for window in 0..across {
                let x = window * side;
                let cell = (y / side * across + window) * side * side + y % side * side;
                body(y * width + x, cell, side.min(width - x));
            }
        }
    }
}
