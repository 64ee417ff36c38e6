//! Looking for lines at several sizes of the picture.

use tiny_vlm_image::{Filter, Grey};
use tiny_vlm_tensor::Context;
use tiny_vlm_weights::Scope;

use super::find::{FoundLine, find_lines, level_size, surest_lines};
use super::net::LinesNet;
use crate::{LinesConfig, VisionError};

/// The most that a picture grows for a level.
const ENLARGE: f64 = 2.5;

/// Finds the lines of print in a picture.
#[derive(Debug)]
pub struct LinesFinder {
    net: LinesNet,
    config: LinesConfig,
}

/// What the network said of one level.
#[derive(Clone, Debug)]
pub struct Level {
    /// The longer side that was asked for.
    pub level: usize,
    /// The lines that were found, in pixels of the picture.
    pub lines: Vec<FoundLine>,
}

impl LinesFinder {
    /// Reads the network below `scope`.
    pub fn load(scope: &Scope<'_>, config: &LinesConfig) -> Result<Self, VisionError> {
        Ok(LinesFinder { net: LinesNet::load(scope, config)?, config: config.clone() })
    }

    /// Lines of a picture at all its levels, the most certain first: a line may be there once for each level.
    pub fn find(&self, ctx: &Context<'_>, grey: &Grey) -> Result<Vec<FoundLine>, VisionError> {
        let mut levels = self.levels([grey.width(), grey.height()]);
        // The largest first, so that its buffers serve the others; but what is found counts in the levels' order.
        levels.reverse();
        let mut found = Vec::with_capacity(levels.len());
        for level in levels {
            found.push(self.find_at(ctx, grey, level)?.lines);
        }
        Ok(surest_lines(found.into_iter().rev().flatten().collect()))
    }

    /// The levels at which a picture of `size` (width, height) is looked at: not where it would grow by more than
    /// two and a half times, but for the first two, at which every picture is looked at.
    pub fn levels(&self, size: [usize; 2]) -> Vec<usize> {
        let levels = &self.config.levels;
        let always = levels.get(1).or(levels.first()).copied().unwrap_or_default();
        let most = (always as f64).max(ENLARGE * size[0].max(size[1]) as f64);
        levels.iter().copied().filter(|&level| level as f64 <= most).collect()
    }

    /// Lines of a picture at one level.
    pub fn find_at(&self, ctx: &Context<'_>, grey: &Grey, level: usize) -> Result<Level, VisionError> {
        let size = [grey.width(), grey.height()];
        let map = self.map(ctx, grey, level)?;
        Ok(Level { level, lines: find_lines(map.view(), size, &self.config) })
    }

    /// The network's map of a picture at one level.
    pub fn map<'a>(
        &self,
        ctx: &Context<'a>,
        grey: &Grey,
        level: usize,
    ) -> Result<tiny_vlm_layers::ScratchTensor<'a, 3>, VisionError> {
        let [width, height] = level_size([grey.width(), grey.height()], level);
        let small = grey.resize(width, height, Filter::Bilinear)?;
        self.net.forward(ctx, small.data(), [height, width])
    }
}
