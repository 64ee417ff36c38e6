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
