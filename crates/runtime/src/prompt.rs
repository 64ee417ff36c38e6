//! What is asked, as the user puts it together.

use tiny_vlm_image::Image;
use tiny_vlm_models::Lang;

/// Images and what is wanted of them.
///
/// ```
/// use tiny_vlm_image::Image;
/// use tiny_vlm_runtime::Prompt;
///
/// let image = Image::from_rgb8(1, 1, 3, &[255, 0, 0])?;
/// let prompt = Prompt::new().image(&image).text("What colour is it?");
/// assert_eq!(prompt.images().len(), 1);
/// # Ok::<(), tiny_vlm_image::ImageError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Prompt<'a> {
    images: Vec<&'a Image>,
    wanted: Wanted,
}

/// What is wanted of the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Text(String),
    Caption(Lang),
    Detect,
    Read,
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl<'a> Prompt<'a> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this image, after any others. Without one, the question is about the images of the session so far.
    #[must_use]
    pub fn image(mut self, image: &'a Image) -> Self {
        self.images.push(image);
        self
    }

    /// With this question. The last question, or the last [`caption`](Self::caption), counts.
    #[must_use]
    pub fn text(mut self, question: impl Into<String>) -> Self {
        self.wanted = Wanted::Text(question.into());
        self
    }

    /// With the wish for a description in this language.
    #[must_use]
    pub fn caption(mut self, lang: Lang) -> Self {
        self.wanted = Wanted::Caption(lang);
        self
    }

    /// With the wish for the things and where they are, which come as the answer's regions.
    #[must_use]
    pub fn detect(mut self) -> Self {
        self.wanted = Wanted::Detect;
        self
    }

    /// With the wish for the print and where it is, as an answer's regions. Not every family that
    /// [reads](crate::Session::read) does so by answering.
    #[must_use]
    pub fn read(mut self) -> Self {
        self.wanted = Wanted::Read;
        self
    }

    /// The images.
    pub fn images(&self) -> &[&'a Image] {
        &self.images
    }

    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}
