//! From images and a conversation to tiles and tokens.

use tiny_vlm_image::Image;
use tiny_vlm_text::{ChatTemplate, Content, Message, Part, Piece, Tokenizer};
use tiny_vlm_vision::{TileBounds, TilePlan, Tiler, TilesConfig};

use super::config::Config;
use crate::{Detail, Lang, ModelError, PromptParts, RequestShape, Source, chat::chat_template};

/// What the template writes for an image.
const IMAGE: &str = "<image>";
const AROUND: &str = "<fake_token_around_image>";
const GLOBAL: &str = "<global-img>";
/// What ends a turn, where no file says what does.
pub(super) const END_OF_UTTERANCE: &str = "<end_of_utterance>";
/// The published template, for a checkpoint without one.
const TEMPLATE: &str = "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}\
    {% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}\
    {% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}\
    {% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n\
    {% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// The family's processor.
#[derive(Debug)]
pub(super) struct Processor {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    tiler: Tiler,
    /// Tokens that a tile becomes.
    tile_tokens: usize,
}

/// Rows and columns of an image's tiles; none where it is not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Processor {
    pub(super) fn load(source: &Source, config: &Config, tile_tokens: usize) -> Result<Self, ModelError> {
        const FILE: &str = "preprocessor_config.json";
        let tokenizer = source.open_tokenizer()?;
        if tokenizer.token_id(IMAGE) != Some(config.image_token_id) {
            let detail = format!("{IMAGE} is not token {}, as config.json says", config.image_token_id);
            return Err(ModelError::config("tokenizer.json", detail));
        }
        let tiles: TilesConfig = source
            .optional_json(FILE)?
            .ok_or_else(|| ModelError::config(FILE, "is missing, and says how images are cut"))?;
        let tiler = Tiler::new(tiles).map_err(|error| ModelError::config(FILE, error.to_string()))?;
        if tiler.side() != config.vision_config.image_size {
            let (tile, image) = (tiler.side(), config.vision_config.image_size);
            return Err(ModelError::config(FILE, format!("tiles of {tile} where the tower takes {image}")));
        }
        Ok(Self { tokenizer, template: chat_template(source, TEMPLATE)?, tiler, tile_tokens })
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(super) fn tiler(&self) -> &Tiler {
        &self.tiler
    }

    /// How an image of this size is cut.
    pub(super) fn plan(&self, size: [usize; 2], shape: &RequestShape) -> TilePlan {
        let most = match shape.detail {
            Detail::Low => 1,
            _ => shape.max_tiles.unwrap_or(usize::MAX),
        };
        self.tiler.plan(size, TileBounds { most, enlarge: shape.detail == Detail::High })
    }

    /// The tokens of a conversation about images that were cut so.
    pub(super) fn ids(&self, parts: &PromptParts<'_>, grids: &[Grid]) -> Result<Vec<u32>, ModelError> {
        let pieces = self.template.render(&messages(parts)?, true)?;
        let mut grids = grids.iter();
        let mut expanded = Vec::with_capacity(pieces.len());
        for piece in pieces {
            expanded.push(match piece {
                Piece::Template(text) => Piece::Template(self.expand(&text, &mut grids)?),
                Piece::Text(text) => Piece::Text(text),
            });
        }
        if grids.next().is_some() {
            return Err(ModelError::config("chat template", "it leaves out an image"));
        }
        Ok(self.tokenizer.encode_pieces(&expanded))
    }

    /// What a template wrote, with each placeholder as long as its image.
    fn expand<'g>(
        &self,
        text: &str,
        grids: &mut impl Iterator<Item = &'g Grid>,
    ) -> Result<String, ModelError> {
        let mut parts = text.split(IMAGE);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let grid = grids.next();
            self.write_image(
                *grid.ok_or_else(|| {
                    ModelError::config("chat template", "it has more images than there are")
                })?,
                &mut out,
            );
            out.push_str(part);
        }
        Ok(out)
    }

    /// The tokens of one image: tile by tile, each behind its place, a line for each row, and the whole image last.
    fn write_image(&self, grid: Grid, out: &mut String) {
        let tile = IMAGE.repeat(self.tile_tokens);
        for row in 1..=grid.rows {
            for column in 1..=grid.columns {
                out.push_str(&format!("{AROUND}<row_{row}_col_{column}>{tile}"));
            }
            out.push('\n');
        }
        let between = if grid.rows > 0 { "\n" } else { "" };
        out.push_str(&format!("{between}{AROUND}{GLOBAL}{tile}{AROUND}"));
    }

    /// An image in tiles.
    pub(super) fn cut(
        &self,
        image: &Image,
        plan: TilePlan,
    ) -> Result<tiny_vlm_vision::Tiles, tiny_vlm_vision::VisionError> {
        self.tiler.cut(image, plan)
    }
}

/// The conversation as templates take it.
fn messages<'a>(parts: &PromptParts<'a>) -> Result<Vec<Message<'a>>, ModelError> {
    let asked = |images: usize, question: &'a str| {
        let parts = std::iter::repeat_n(Part::Image, images).chain([Part::Text(question)]);
        Message { role: "user", content: Content::Parts(parts.collect()) }
    };
    let mut messages = Vec::with_capacity(2 * parts.history.len() + 1);
    for turn in parts.history {
        messages.push(asked(turn.images, question(&turn.question)));
        // A decoder begins what it says with the space behind the colon, which the template writes.
        let answer = Part::Text(turn.answer.trim());
        messages.push(Message { role: "assistant", content: Content::Parts(vec![answer]) });
    }
    messages.push(asked(parts.images, question(parts.task.question(caption)?)));
    Ok(messages)
}

/// What was asked; a turn that asked nothing wanted a description.
fn question(text: &str) -> &str {
    match text.trim() {
        "" => caption(Lang::En),
        text => text,
    }
}

/// The question that a description answers.
fn caption(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "Can you describe this image?",
        Lang::Es => "¿Puedes describir esta imagen?",
        Lang::Fr => "Peux-tu décrire cette image ?",
        Lang::De => "Kannst du dieses Bild beschreiben?",
        Lang::Ja => "この画像を説明してください。",
        Lang::Zh => "请描述这张图片。",
    }
}
