//! How the program behaves as a program: output, languages, exit codes.

mod support;

use std::{fs, process::Stdio};

use support::{file, folder, has_model, png, program, run, run_with};

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(&["--help"]).exits(0);
    assert!(help.out.contains("ask") && help.out.contains("130") && help.err.is_empty());
    assert!(run(&["ocr", "--help"]).exits(0).out.contains("--lines"));
    assert!(run(&["--version"]).exits(0).out.starts_with("tiny-vlm "));
}

#[test]
fn mistakes_on_the_command_line_exit_with_2() {
    run(&[]).exits(2).says("--help");
    run(&["frobnicate"]).exits(2).says("frobnicate");
    run(&["ask", "a.png"]).exits(2).says("QUESTION").says("tiny-vlm ask --help");
    run(&["ask", "a.png", "what", "--threads", "none"]).exits(2).says("--threads");
    run(&["completions", "elvish"]).exits(2).says("elvish");
    run(&["ask", "-", "-"]).exits(2).says("only once");
}

#[test]
fn messages_come_in_six_languages() {
    let heard: Vec<String> = ["en_US.UTF-8", "es_ES", "fr_CA.UTF-8", "de", "ja_JP.UTF-8", "zh_CN.UTF-8"]
        .into_iter()
        .map(|locale| run_with(&["frobnicate"], b"", &[("LANG", locale)]).exits(2).err)
        .collect();
    for (i, message) in heard.iter().enumerate() {
        assert!(message.contains("frobnicate"));
        assert!(!heard[..i].contains(message), "{message}");
    }
    run_with(&["frobnicate", "--lang", "fr"], b"", &[("LANG", "de_DE")]).exits(2).says("commande inconnue");
    run_with(&["frobnicate"], b"", &[("LC_ALL", "ja_JP"), ("LANG", "de_DE")]).exits(2).says("不明");
    run_with(&["frobnicate"], b"", &[("LANG", "C")]).exits(2).says("unknown command");
}

#[test]
fn failures_are_objects_where_json_is_asked_for() {
    let folder = folder("json-failure");
    let image = file(&folder, "image.png", b"nonsense");
    let run = run(&["ask", &image, "What is this?", "--json"]).exits(1).says("not a PNG");
    let object: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(object["version"], 1);
    assert_eq!(object["error"]["code"], "image-unknown-format");
    assert_eq!(object["error"]["kind"], "input");
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    for arguments in [&["--help"][..], &["completions", "bash"], &["info"]] {
        let mut child = program()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success(), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}

#[test]
fn completions_are_scripts_that_their_shell_reads() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = run(&["completions", shell]).exits(0).out;
        assert!(script.contains("tiny-vlm") && script.contains("self-test"));
    }
    let script = run(&["completions", "bash"]).out;
    let path = file(&folder("completions"), "tiny-vlm.bash", script.as_bytes());
    if let Ok(checked) = std::process::Command::new("bash").args(["-n", &path]).output() {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn info_knows_the_machine() {
    let run = run(&["info", "--json"]).exits(0);
    let object: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(object["version"], 1);
    assert!(!object["instruction_sets"].as_array().unwrap().is_empty());
    assert!(object["threads"].as_u64().unwrap() > 0);
    let three = run_with(&["info", "--json"], b"", &[("TINY_VLM_THREADS", "3")]);
    assert!(three.out.contains("\"threads\":3"));
}

#[test]
fn answers_go_to_standard_output_and_nothing_else_does() {
    if !has_model() {
        return;
    }
    let folder = folder("answers");
    let bytes = png(64, 64, [220, 30, 30]);
    let image = file(&folder, "image.png", &bytes);
    let plain = run(&["ask", &image, "What is this?"]).exits(0);
    assert!(plain.out.ends_with('\n') && plain.err.is_empty(), "{plain:?}");
    let stats = run(&["ask", &image, "What is this?", "--stats"]).exits(0).says("first token").says("ms");
    assert_eq!(stats.out, plain.out);
    let piped = run_with(&["ask", "-", "What is this?"], &bytes, &[]).exits(0);
    assert_eq!(piped.out, plain.out);
    let asked = run_with(&["ask", &image, "-"], b"What is this?\n", &[]).exits(0);
    assert_eq!(asked.out, plain.out);
    for threads in ["1", "2", "3"] {
        assert_eq!(run(&["ask", &image, "What is this?", "--threads", threads]).exits(0).out, plain.out);
    }
    let several = run(&["ask", &image, &image, "What is this?"]).exits(0);
    assert_eq!(several.out, format!("{image}: {0}{image}: {0}", plain.out));

    let object = run(&["ask", &image, "What is this?", "--json"]).exits(0).out;
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!((object["version"].as_u64(), object["finish"].as_str()), (Some(1), Some("stop")));
    assert_eq!(format!("{}\n", object["text"].as_str().unwrap()), plain.out);
    let read = run(&["ocr", &image, "--json"]).exits(0).out;
    assert!(serde_json::from_str::<serde_json::Value>(&read).unwrap()["lines"].is_array());
    run(&["caption", &image, "--lang", "ja"]).exits(0);
}

#[test]
fn requests_are_bounded() {
    if !has_model() {
        return;
    }
    let image = file(&folder("bounded"), "image.png", &png(64, 64, [220, 30, 30]));
    run(&["ask", &image, "What is this?", "--deadline", "0.000001ms"]).exits(1).says("deadline");
    run(&["ask", &image, "What is this?", "--max-tokens", "1"]).exits(0);
    let hot =
        |seed| run(&["ask", &image, "What is this?", "--temperature", "2", "--seed", seed]).exits(0).out;
    assert_eq!(hot("3"), hot("3"));
}

#[test]
fn a_set_is_scored() {
    if !has_model() {
        return;
    }
    let folder = folder("scored");
    file(&folder, "image.png", &png(64, 64, [220, 30, 30]));
    let label = r#"{"image": "image.png", "row": "declines", "question": "What is this?", "answers": [], "score": "unknown"}"#;
    let other = r#"{"image": "image.png", "row": "answers", "question": "What is this?", "answers": [], "score": "known"}"#;
    file(&folder, "labels.jsonl", format!("{label}\n{other}\n").as_bytes());
    let path = folder.to_str().unwrap();
    let answers = folder.join("answers.jsonl");
    let arguments =
        ["eval", path, "--json", "--precision", "f32,int8", "--answers", answers.to_str().unwrap()];
    let table: serde_json::Value = serde_json::from_str(&run(&arguments).exits(0).out).unwrap();
    let score = |row: usize| table["rows"][row]["scores"][0].as_f64().unwrap();
    assert_eq!(score(0) + score(1), 100.0, "it declines or it does not");
    assert_eq!(fs::read_to_string(answers).unwrap().lines().count(), 4);
    assert!(run(&["eval", path]).exits(0).out.contains("declines"));
}

#[test]
fn the_machine_passes_its_own_test() {
    if !has_model() {
        return;
    }
    let run = run(&["self-test", "--json"]).exits(0);
    let report: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(report["passed"], true);
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_an_answer() {
    if !has_model() {
        return;
    }
    let image = file(&folder("interrupted"), "image.png", &png(1800, 1800, [220, 30, 30]));
    // The plainest code takes long enough to be interrupted.
    let mut command = program();
    command.args(["ask", &image, "What is this?"]).env("TINY_VLM_ISA", "scalar").stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(150));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    // A machine that answered before the signal came has nothing to show here, and one that had not begun to run the
    // program let the signal itself end it.
    let signalled = std::os::unix::process::ExitStatusExt::signal(&done.status) == Some(2);
    if killed.success() && !done.status.success() && !signalled {
        assert_eq!(done.status.code(), Some(130), "{said}");
    }
}
