//! What a family makes of one image, and what the user may see of it.

use std::{any::Any, fmt, sync::Arc};

/// A line of print.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Its corners in pixels of the image, in the order of reading: upper left, upper right, lower right, lower left.
    pub quad: [[f32; 2]; 4],
    /// Mean probability of its characters.
    pub confidence: f32,
}

/// A thing that stands out, whatever it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Thing {
    /// Left, top, right and bottom in pixels of the image.
    pub area: [f32; 4],
    /// How sure it is that there is one.
    pub confidence: f32,
}

/// A part of an image that an answer speaks of.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// What the answer calls it; empty where it calls it nothing.
    pub label: String,
    /// Where it is.
    pub shape: RegionShape,
    /// How sure the model is of it, where it says.
    pub score: Option<f32>,
}

/// Where a region is, in pixels of the image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RegionShape {
    /// Left, top, right and bottom.
    Box([f32; 4]),
    /// Corners in the order of reading: upper left, upper right, lower right, lower left.
    Quad([[f32; 2]; 4]),
    /// Outlines, each a ring of corners.
    Polygons(Vec<Vec<[f32; 2]>>),
}

impl RegionShape {
    /// Left, top, right and bottom of all of it; nothing of no corners.
    ///
    /// ```
    /// use tiny_vlm_models::RegionShape;
    ///
    /// let quad = RegionShape::Quad([[1.0, 2.0], [5.0, 1.0], [6.0, 4.0], [0.0, 3.0]]);
    /// assert_eq!(quad.bounds(), Some([0.0, 1.0, 6.0, 4.0]));
    /// ```
    pub fn bounds(&self) -> Option<[f32; 4]> {
        let around = |bounds: Option<[f32; 4]>, &[x, y]: &[f32; 2]| {
            let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
            Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
        };
        match self {
            Self::Box(bounds) => Some(*bounds),
            Self::Quad(corners) => corners.iter().fold(None, around),
            Self::Polygons(outlines) => outlines.iter().flatten().fold(None, around),
        }
    }
}

/// What a family made of one image: kept, shared and looked up by the runtime, understood by the family alone.
pub struct Features {
    /// Positions that the image takes in the prompt or in the memory.
    pub tokens: usize,
    /// Print that was found on the way, in reading order.
    pub lines: Vec<Line>,
    /// Things that were found on the way, from left to right.
    pub things: Vec<Thing>,
    bytes: usize,
    value: Arc<dyn Any + Send + Sync>,
}

impl Features {
    /// Features that are `value` to their family and take `bytes` bytes of memory.
    ///
    /// ```
    /// use tiny_vlm_models::Features;
    ///
    /// let features = Features::new(49, 49 * 576 * 4, vec![0.0f32; 49 * 576]);
    /// assert_eq!(features.get::<Vec<f32>>().map(Vec::len), Some(49 * 576));
    /// assert!(features.get::<String>().is_none());
    /// ```
    pub fn new(tokens: usize, bytes: usize, value: impl Any + Send + Sync) -> Self {
        Self { tokens, lines: Vec::new(), things: Vec::new(), bytes, value: Arc::new(value) }
    }

    /// The same with the print and the things that were found on the way.
    #[must_use]
    pub fn with_finds(self, lines: Vec<Line>, things: Vec<Thing>) -> Self {
        Self { lines, things, ..self }
    }

    /// What the family put in, if it is of this type.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    /// Bytes of memory that keeping them takes.
    pub fn bytes(&self) -> usize {
        let texts: usize = self.lines.iter().map(|line| line.text.len() + size_of::<Line>()).sum();
        self.bytes + texts + self.things.len() * size_of::<Thing>() + size_of::<Self>()
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Features")
            .field("tokens", &self.tokens)
            .field("lines", &self.lines.len())
            .field("things", &self.things.len())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}
