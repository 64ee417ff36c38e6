use serde::Deserialize;
use tiny_vlm_layers::{
    Activation, Conv2d, ConvShape, EncoderBlock, LayerError, LayerNorm, Linear, Mlp, Projections,
    ScratchTensor, SelfAttention,
};
use tiny_vlm_tensor::{Context, Tensor, View};
use tiny_vlm_weights::Scope;

use super::position_of_patches;
use crate::VisionError;

/// The largest size that a config may ask for; far beyond any model of this kind.
const MOST: usize = 1 << 14;
/// Patches of the largest tile: attention takes the square of it.
const MOST_PATCHES: usize = 1 << 14;

/// Sizes of a tower, by the names of `config.json`'s `vision_config`; what it leaves out is as `transformers` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct SiglipConfig {
    /// Width of a patch's vector.
    pub hidden_size: usize,
    /// Width between the maps of a feed-forward layer.
    pub intermediate_size: usize,
    /// Encoder blocks.
    pub num_hidden_layers: usize,
    /// Heads of attention.
    pub num_attention_heads: usize,
    /// Side of a tile in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// What keeps a norm from dividing by zero.
    pub layer_norm_eps: f32,
    /// The function between the maps of a feed-forward layer.
    pub hidden_act: String,
}

impl Default for SiglipConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1152,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 16,
            image_size: 224,
            patch_size: 32,
            layer_norm_eps: 1e-6,
            hidden_act: "gelu_pytorch_tanh".into(),
        }
    }
}

impl SiglipConfig {
    /// Whether the numbers make a tower.
    pub fn check(&self) -> Result<(), VisionError> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
        ];
        if let Some((name, size)) = sizes.into_iter().find(|(_, size)| !(1..=MOST).contains(size)) {
            return Err(VisionError::Config(format!("{name} is {size}, outside 1..={MOST}")));
        }
        let side = self.side();
        if side == 0 || side * side > MOST_PATCHES {
            let (image, patch) = (self.image_size, self.patch_size);
            return Err(VisionError::Config(format!(
                "an image of {image} has no patches of {patch}, or too many"
            )));
        }
        if !self.layer_norm_eps.is_finite() || self.layer_norm_eps <= 0.0 {
            return Err(VisionError::Config(format!("layer_norm_eps is {}", self.layer_norm_eps)));
        }
        self.activation().map(|_| ())
    }

    /// Patches along a side.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    fn activation(&self) -> Result<Activation, VisionError> {
        match self.hidden_act.as_str() {
            "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "gelu" => Ok(Activation::Gelu),
            other => {
                let name: String = other.chars().take(40).collect();
                Err(VisionError::Config(format!("hidden_act {name:?} is not gelu_pytorch_tanh or gelu")))
            }
        }
    }
}

/// Patches, positions, pre-norm encoder blocks and a last norm.
#[derive(Debug)]
pub struct SiglipTower {
    config: SiglipConfig,
    patches: Conv2d,
    /// A row for each patch of a full tile.
    positions: Tensor<f32, 2>,
    blocks: Vec<EncoderBlock>,
    norm: LayerNorm,
}

impl SiglipTower {
    /// Reads the tower below `scope`: `embeddings`, `encoder.layers`, `post_layernorm`.
    pub fn load(scope: &Scope<'_>, config: &SiglipConfig) -> Result<Self, VisionError> {
        config.check()?;
        let (width, side, patch) = (config.hidden_size, config.side(), config.patch_size);
        let embeddings = scope.scope("embeddings");
        let shape = ConvShape { stride: [patch; 2], ..ConvShape::square(patch, 1, 0) };
        let learned = embeddings.scope("position_embedding").tensor("weight", [side * side, width]);
        let places = position_of_patches(side, side);
        let mut positions = Tensor::try_zeroed([side * side, width])?;
        // A table that was not as it should be is empty, and loading fails in the end.
        if learned.shape() == positions.shape() {
            for (index, row) in positions.data_mut().chunks_exact_mut(width).enumerate() {
                row.copy_from_slice(learned.view().row(places[index / side] * side + places[index % side]));
            }
        }
        let layers = scope.scope("encoder.layers");
        let blocks = (0..config.num_hidden_layers).map(|number| block(&layers.scope(number), config));
        Ok(Self {
            config: config.clone(),
            patches: Conv2d::load(&embeddings.scope("patch_embedding"), [3, width], shape),
            positions,
            blocks: blocks.collect::<Result<_, _>>()?,
            norm: LayerNorm::load(&scope.scope("post_layernorm"), width, config.layer_norm_eps),
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &SiglipConfig {
        &self.config
    }

    /// A row for each patch, row by row, of a tile `[image_size, image_size, 3]`.
    pub fn forward<'a>(
        &self,
        ctx: &Context<'a>,
        tile: View<'_, f32, 3>,
    ) -> Result<ScratchTensor<'a, 2>, VisionError> {
        self.forward_observed(ctx, tile, &mut |_| ())
    }

    /// As [`forward`](Self::forward), showing `observe` the patches with their positions and what each block makes of
    /// them. For comparison with a reference.
    pub fn forward_observed<'a>(
        &self,
        ctx: &Context<'a>,
        tile: View<'_, f32, 3>,
        observe: &mut dyn FnMut(View<'_, f32, 2>),
    ) -> Result<ScratchTensor<'a, 2>, VisionError> {
        let size = self.config.image_size;
        if tile.shape() != [size, size, 3] {
            let (expected, actual) = (vec![size, size, 3], tile.shape().to_vec());
            return Err(LayerError::Shape { what: "a tile", expected, actual }.into());
        }
        let patches = self.patches.apply(ctx, tile)?;
        let mut x = patches.reshape(self.positions.shape())?;
        for (value, position) in x.data_mut().iter_mut().zip(self.positions.data()) {
            *value += position;
        }
        observe(x.view());
        for block in &self.blocks {
            ctx.check()?;
            block.forward(ctx, x.view_mut())?;
            observe(x.view());
        }
        Ok(self.norm.apply(ctx, x.view())?)
    }
}

fn block(scope: &Scope<'_>, config: &SiglipConfig) -> Result<EncoderBlock, VisionError> {
    let (width, inner) = (config.hidden_size, config.intermediate_size);
    let (attention, mlp) = (scope.scope("self_attn"), scope.scope("mlp"));
    let map = |name| Linear::load(&attention.scope(name), width, width, true);
    let [query, key, value, output] = ["q_proj", "k_proj", "v_proj", "out_proj"].map(map);
    let maps = Projections { query, key, value, output };
    let norm = |name| LayerNorm::load(&scope.scope(name), width, config.layer_norm_eps);
    Ok(EncoderBlock {
        attention_norm: norm("layer_norm1"),
        attention: SelfAttention::apart(maps, config.num_attention_heads)?,
        mlp_norm: norm("layer_norm2"),
        mlp: Mlp::new(
            Linear::load(&mlp.scope("fc1"), width, inner, true),
            Linear::load(&mlp.scope("fc2"), inner, width, true),
            config.activation()?,
        )?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_sizes_are_fine_and_nonsense_is_named() {
        let base =
            SiglipConfig { hidden_size: 768, image_size: 512, patch_size: 16, ..SiglipConfig::default() };
        assert!(base.check().is_ok() && base.side() == 32);
        let error = |config: SiglipConfig| config.check().unwrap_err().to_string();
        assert!(error(SiglipConfig { hidden_size: 0, ..base.clone() }).contains("hidden_size"));
        assert!(error(SiglipConfig { patch_size: 600, ..base.clone() }).contains("no patches"));
        assert!(error(SiglipConfig { patch_size: 1, ..base.clone() }).contains("too many"));
        assert!(error(SiglipConfig { layer_norm_eps: f32::NAN, ..base.clone() }).contains("layer_norm_eps"));
        assert!(error(SiglipConfig { hidden_act: "tanh".into(), ..base }).contains("tanh"));
    }
}
