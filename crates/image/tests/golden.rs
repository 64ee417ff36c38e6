//! Against Pillow, byte for byte, on the files that `golden/make.py` made.

use std::collections::HashMap;
use std::path::PathBuf;

use tiny_vlm_image::{Alpha, Filter, Grey, Image, Limits, Options, Passes, Resizer};
use tiny_vlm_simd::Level;
use tiny_vlm_tensor::Workspace;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/image").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn lines(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(read(name)).unwrap();
    text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn fnv(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |h, &byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn filter(name: &str) -> Filter {
    match name {
        "nearest" => Filter::Nearest,
        "box" => Filter::Box,
        "bilinear" => Filter::Bilinear,
        "bicubic" => Filter::Bicubic,
        "lanczos" => Filter::Lanczos,
        other => panic!("{other}"),
    }
}

#[test]
fn resize_gives_pillows_bytes() {
    let expected = read("expected.bin");
    let lines = lines("resize.txt");
    assert!(lines.len() > 400);
    let mut images = HashMap::new();
    let mut wrong = Vec::new();
    for line in &lines {
        let [name, channels, width, height, label, area, length, hash, at, before] = &line[..] else {
            panic!("{line:?}")
        };
        let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
        let area: Option<[f32; 4]> = (area != "-")
            .then(|| area.split(',').map(|v| v.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap());
        let (image, grey) = images.entry(name.clone()).or_insert_with(|| {
            let image = Image::open_with(fixture(name), &Options::with_limits(Limits::none())).unwrap();
            let grey = image.to_grey();
            (image, grey)
        });
        let resize = |mut resizer: Resizer| {
            let mut found = vec![0; length.parse().unwrap()];
            let (filter, size) = (filter(label), (width, height));
            match &channels[..] {
                "3" => resizer.resize_into(image.view(), area, filter, size, &mut found),
                _ => resizer.resize_into(grey.view(), area, filter, size, &mut found),
            }
            .unwrap();
            found
        };
        let found = resize(Resizer::new());
        if let Ok(at) = at.parse::<usize>() {
            let off = found.iter().zip(&expected[at..]).filter(|(a, b)| a != b).count();
            if off > 0 {
                wrong.push(format!("{} ({off} bytes)", line.join(" ")));
            }
        }
        if fnv(&found) != u64::from_str_radix(hash, 16).unwrap() {
            wrong.push(line.join(" "));
        }
        if u64::from_str_radix(before, 16)
            .is_ok_and(|h| h != fnv(&resize(Resizer::with_passes(Passes::AcrossFirst))))
        {
            wrong.push(format!("{} (across first)", line.join(" ")));
        }
        for level in Level::available() {
            if resize(Resizer::at_level(level)) != found {
                wrong.push(format!("{} at {}", line.join(" "), level.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}

#[test]
fn threads_do_not_change_the_bytes_and_a_stop_ends_it() {
    let image = Image::open(fixture("scene-256x160.png")).unwrap();
    let mut alone = vec![0; 300 * 500 * 3];
    let mut shared = alone.clone();
    let size = (300, 500);
    Resizer::new().resize_into(image.view(), None, Filter::Lanczos, size, &mut alone).unwrap();
    let workspace = Workspace::new(3);
    let mut resizer = Resizer::new();
    for _ in 0..3 {
        shared.fill(0);
        resizer
            .resize_with(&workspace.context(), image.view(), None, Filter::Lanczos, size, &mut shared)
            .unwrap();
        assert!(alone == shared);
    }
    workspace.stop().cancel();
    let stopped =
        resizer.resize_with(&workspace.context(), image.view(), None, Filter::Lanczos, size, &mut shared);
    assert_eq!(stopped.unwrap_err().code(), "image-stopped");
}

#[test]
fn files_decode_to_pillows_bytes() {
    let expected = read("expected.bin");
    let mut wrong = Vec::new();
    for line in lines("decode.txt") {
        let [name, width, height, plain, white] = &line[..] else { panic!("{line:?}") };
        let (width, height): (usize, usize) = (width.parse().unwrap(), height.parse().unwrap());
        let limits = Limits::none();
        for (way, at) in [(Alpha::Drop, plain), (Alpha::White, white)] {
            let mut options = Options::pillow(limits);
            options.alpha = way;
            let image = match Image::decode_with(&read(name), &options) {
                Ok(image) => image,
                Err(e) => {
                    wrong.push(format!("{name} {way:?}: {e}"));
                    continue;
                }
            };
            if (image.width(), image.height()) != (width, height) {
                wrong.push(format!("{name}: {image:?} instead of {width} × {height}"));
                continue;
            }
            let at: usize = at.parse().unwrap();
            let off = image.data().iter().zip(&expected[at..]).filter(|(a, b)| a != b).count();
            if off > 0 {
                wrong.push(format!("{name} {way:?}: {off} of {} bytes differ", image.data().len()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn deep_grey_keeps_its_upper_byte_by_default() {
    let clipped = Image::decode_with(&read("grey16.png"), &Options::pillow(Limits::default())).unwrap();
    let kept = Image::decode(&read("grey16.png"), &Limits::default()).unwrap();
    assert!(clipped.data().iter().filter(|&&v| v == 255).count() * 2 > clipped.data().len());
    assert!(kept.data().iter().filter(|&&v| v == 255).count() * 20 < kept.data().len());
}

#[test]
fn luma_is_pillows() {
    let data = read("luma.bin");
    let (colours, grey) = data.split_at(512 * 3);
    assert_eq!(
        Image::from_rgb8(512, 1, 1536, colours).unwrap().to_grey(),
        Grey::from_vec(512, 1, grey.to_vec()).unwrap()
    );
}
