//! Says whether the model's files are there: without them, as before the first training, everything still builds.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(model_files)");
    let mut all = true;
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let path = std::path::Path::new("model").join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        all &= path.is_file();
    }
    if all {
        println!("cargo::rustc-cfg=model_files");
    }
}
