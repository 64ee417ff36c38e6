//! Asks the embedded model one question: `cargo run --release -p tiny-vlm --example ask -- IMAGE QUESTION`.

use tiny_vlm::{Image, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(question)) = (arguments.next(), arguments.next()) else {
        return Err("usage: ask IMAGE QUESTION".into());
    };
    let model = Model::embedded()?;
    let answer = model.ask(&Image::open(path)?, &question)?;
    println!("{}", answer.text);
    for thing in &answer.things {
        eprintln!("a thing at {:?}, sure to {:.2}", thing.area, thing.confidence);
    }
    Ok(())
}
