//! Answers of the embedded model that have the form asked for.
#![cfg(all(feature = "embedded-model", feature = "grammar"))]

use tiny_vlm::{Error, Grammar, Image, Model, RequestOptions};

fn answer(question: &str, grammar: Grammar) -> Result<String, Error> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/images/market.png");
    let options = RequestOptions::default().max_tokens(60).grammar(grammar);
    Ok(Model::embedded()?.ask_with(&Image::open(path)?, question, &options)?.text)
}

#[test]
fn the_likeliest_of_the_answers_allowed_is_chosen() {
    let choices = |list: &str| Grammar::Regex(list.to_owned());
    assert_eq!(answer("What is on the left?", choices("(apple|dog|car)")).unwrap(), "apple");
    assert_eq!(answer("Where is the dog?", choices("(left|right|middle)")).unwrap(), "right");
}

#[test]
fn json_fits_its_schema() {
    let schema = r#"{"type": "object", "properties": {"answer": {"type": "string", "maxLength": 20}},
        "required": ["answer"], "additionalProperties": false}"#;
    let text = answer("What is on the left?", Grammar::JsonSchema(schema.into())).unwrap();
    assert!(text.starts_with(r#"{"answer": ""#) && text.ends_with("\"}"), "{text}");
}

#[test]
fn a_form_that_is_none_is_an_input_error() {
    let error = answer("What is it?", Grammar::Regex("(".into())).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("grammar", tiny_vlm::ErrorKind::Input));
}
