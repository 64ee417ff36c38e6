//! Image features in a prompt: which of its tokens they take the place of.

/// The places of a prompt that hold image features instead of tokens.
///
/// Only the prompt's own placeholders count: a token of the same number that a decoder says later is a token.
///
/// ```
/// use tiny_vlm_fusion::Placement;
///
/// let image = 9;
/// let placement = Placement::new(&[5, 9, 9, 6, 9], image);
/// assert_eq!((placement.len(), placement.before(2)), (3, &[1][..]));
/// assert_eq!((placement.feature_at(1), placement.feature_at(3), placement.feature_at(4)), (Some(0), None, Some(2)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Places of placeholders, ascending.
    places: Vec<usize>,
}

impl Placement {
    /// The placeholders among the tokens of a prompt.
    pub fn new(ids: &[u32], placeholder: u32) -> Self {
        Self { places: (0..ids.len()).filter(|&place| ids[place] == placeholder).collect() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The places among the first `tokens` tokens.
    pub fn before(&self, tokens: usize) -> &[usize] {
        &self.places[..self.places.partition_point(|&place| place < tokens)]
    }

    /// Which feature, counted over all images in order, stands at `place`.
    pub fn feature_at(&self, place: usize) -> Option<usize> {
        self.places.binary_search(&place).ok()
    }
}
