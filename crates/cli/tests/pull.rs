//! `pull` against a hub that the test itself is: what is fetched, what is refused, what a broken network leaves behind.
#![cfg(feature = "hub")]

#[allow(dead_code, reason = "a hub needs no pictures")]
mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use support::{Run, folder, run_with};

const REPO: &str = "owner/small-model";

/// What was asked.
#[derive(Clone, Debug)]
struct Request {
    path: String,
    headers: BTreeMap<String, String>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What is answered; the stated length is that of the body unless it is said to be another.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    length: Option<usize>,
    body: Vec<u8>,
}

impl Reply {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), length: None, body: body.into() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn lying(self, length: usize) -> Self {
        Self { length: Some(length), ..self }
    }
}

/// A server on this machine that remembers what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(answer: impl Fn(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read_request(&mut stream) else { continue };
                seen.lock().unwrap().push(request.clone());
                let reply = answer(&request);
                let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", reply.status);
                head += &format!("Content-Length: {}\r\n", reply.length.unwrap_or(reply.body.len()));
                for (name, value) in &reply.headers {
                    head += &format!("{name}: {value}\r\n");
                }
                // The program may hang up on an answer that it does not want.
                let _ = stream.write_all(format!("{head}\r\n").as_bytes());
                let _ = stream.write_all(&reply.body);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// The program, with this as the hub and `home` for what it keeps.
    fn run(&self, home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let home = home.to_str().unwrap();
        let mut all = vec![
            ("HF_ENDPOINT", self.address.as_str()),
            ("HF_HOME", home),
            ("HF_HUB_CACHE", ""),
            ("HUGGINGFACE_HUB_CACHE", ""),
            ("HF_TOKEN", ""),
            ("HF_TOKEN_PATH", ""),
            ("no_proxy", "*"),
            ("NO_PROXY", "*"),
            ("HTTP_PROXY", ""),
            ("http_proxy", ""),
            ("ALL_PROXY", ""),
            ("all_proxy", ""),
            ("SSL_CERT_FILE", ""),
        ];
        all.extend_from_slice(variables);
        run_with(arguments, b"", &all)
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let header =
        |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Some(Request { path, headers: lines.filter_map(header).collect() })
}

/// A model with its files, which a server can be.
#[derive(Clone)]
struct Model {
    files: BTreeMap<String, Vec<u8>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a file's blob: as of a large file where it is one of weights, else as git has it.
fn checksum(name: &str, bytes: &[u8]) -> String {
    match name.ends_with(".safetensors") {
        true => hex(&Sha256::digest(bytes)),
        false => hex(&Sha1::digest([format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat())),
    }
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl Model {
    /// A ResNet that works, and files that nobody needs.
    fn new() -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models/resnet-basic");
        let read = |name: &str| (name.to_owned(), fs::read(fixture.join(name)).unwrap());
        let mut files: BTreeMap<_, _> =
            ["config.json", "preprocessor_config.json", "model.safetensors"].map(read).into();
        for unneeded in ["README.md", "pytorch_model.bin", ".gitattributes", "onnx/model.json"] {
            files.insert(unneeded.to_owned(), b"unneeded".to_vec());
        }
        Self { files }
    }

    fn listing(&self) -> Value {
        let sibling = |(name, bytes): (&String, &Vec<u8>)| {
            let sum = checksum(name, bytes);
            match name.ends_with(".safetensors") {
                true => json!({"rfilename": name, "size": bytes.len(), "blobId": "0".repeat(40),
                    "lfs": {"sha256": sum, "size": bytes.len(), "pointerSize": 134}}),
                false => json!({"rfilename": name, "size": bytes.len(), "blobId": sum}),
            }
        };
        json!({"id": REPO, "sha": COMMIT, "siblings": self.files.iter().map(sibling).collect::<Vec<_>>()})
    }

    /// The answer of an honest hub.
    fn answer(&self, request: &Request) -> Reply {
        let path = request.path.as_str();
        if path.starts_with(&format!("/api/models/{REPO}/revision/")) {
            return Reply::new(200, self.listing().to_string());
        }
        let file = path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/"));
        let Some(bytes) = file.and_then(|name| self.files.get(name)) else {
            return Reply::new(404, "no such file");
        };
        let from = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        match from.map(|from| from.parse::<usize>().unwrap()) {
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Reply::new(206, &bytes[from..]).with("Content-Range", range)
            }
            Some(_) => Reply::new(416, ""),
            None => Reply::new(200, bytes.clone()),
        }
    }

    fn serve(self) -> Server {
        Server::start(move |request| self.answer(request))
    }

    /// A hub that answers like an honest one, except where `other` answers.
    fn serve_but(self, other: impl Fn(&Self, &Request) -> Option<Reply> + Send + 'static) -> Server {
        Server::start(move |request| other(&self, request).unwrap_or_else(|| self.answer(request)))
    }
}

fn cache(home: &Path) -> PathBuf {
    home.join("hub/models--owner--small-model")
}

fn is_weights(request: &Request) -> bool {
    request.path.ends_with("/model.safetensors")
}

#[test]
fn what_is_pulled_is_found_by_its_name() {
    let (home, model) = (folder("pull"), Model::new());
    let server = model.clone().serve();
    let page = format!("{}/../../fixtures/nano/images/page.png", env!("CARGO_MANIFEST_DIR"));
    let classify = |name: &str| server.run(&home, &["classify", "--model", name, &page], &[]);
    classify(REPO).exits(1).says("tiny-vlm pull owner/small-model");
    assert!(server.asked().is_empty(), "only pull opens the network");

    let pulled = server.run(&home, &["pull", REPO], &[]).exits(0);
    let snapshot = cache(&home).join("snapshots").join(COMMIT);
    assert_eq!(pulled.out.trim_end(), snapshot.to_str().unwrap());
    assert_eq!(fs::read_to_string(cache(&home).join("refs/main")).unwrap(), COMMIT);
    let mut names: Vec<_> = fs::read_dir(&snapshot)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors", "preprocessor_config.json"]);
    for name in &names {
        assert_eq!(fs::read(snapshot.join(name)).unwrap(), model.files[name]);
        let blob = cache(&home).join("blobs").join(checksum(name, &model.files[name]));
        assert_eq!(fs::read(&blob).unwrap(), model.files[name]);
        #[cfg(unix)]
        assert_eq!(
            fs::read_link(snapshot.join(name)).unwrap(),
            Path::new("../../blobs").join(blob.file_name().unwrap())
        );
    }
    assert_eq!(classify(REPO).exits(0).out, classify(snapshot.to_str().unwrap()).exits(0).out);
    classify("owner/small-model@v2").exits(1).says("--revision v2");

    // A second time there is nothing to fetch but the listing.
    let before = server.asked().len();
    let again = server.run(&home, &["pull", REPO, "--json"], &[]).exits(0);
    assert_eq!(server.asked().len(), before + 1);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((again["commit"].as_str(), again["files"].as_array().unwrap().len()), (Some(COMMIT), 3));
    assert!(again["files"].as_array().unwrap().iter().all(|file| file["fetched"] == false));
    server.run(&home, &["pull", REPO, "--revision", "refs/pr/1"], &[]).exits(0);
    assert!(server.asked().last().unwrap().path.contains("/revision/refs%2Fpr%2F1?"));
    assert_eq!(classify("owner/small-model@refs/pr/1").exits(0).out, classify(REPO).out);
    assert_eq!(classify(&format!("{REPO}@{COMMIT}")).exits(0).out, classify(REPO).out);
}

#[test]
fn shards_are_those_that_the_index_names() {
    let (home, mut model) = (folder("pull-shards"), Model::new());
    let weights = model.files.remove("model.safetensors").unwrap();
    let map = json!({"metadata": {}, "weight_map": {"a": "model-00002.safetensors", "b": "model-00001.safetensors"}});
    model.files.insert("model.safetensors.index.json".into(), map.to_string().into_bytes());
    for name in ["model-00001.safetensors", "model-00002.safetensors", "unnamed.safetensors"] {
        model.files.insert(name.into(), [&weights[..], name.as_bytes()].concat());
    }
    let server = model.clone().serve();
    server.run(&home, &["pull", REPO], &[]).exits(0);
    let snapshot = cache(&home).join("snapshots").join(COMMIT);
    assert!(
        snapshot.join("model-00001.safetensors").is_file()
            && snapshot.join("model-00002.safetensors").is_file()
    );
    assert!(!snapshot.join("unnamed.safetensors").exists());

    model.files.remove("model-00002.safetensors");
    let server = model.clone().serve();
    server.run(&folder("pull-shards-2"), &["pull", REPO], &[]).exits(1).says("model-00002.safetensors");
    model.files.remove("model.safetensors.index.json");
    let server = model.serve();
    server.run(&folder("pull-shards-3"), &["pull", REPO], &[]).exits(1).says("no model.safetensors");
}

#[test]
fn a_partial_file_is_gone_on_with() {
    let (home, model) = (folder("pull-resume"), Model::new());
    let weights = model.files["model.safetensors"].clone();
    let half = weights.len() / 2;
    // The first time the connection ends half-way, whatever length was stated.
    let server = model.clone().serve_but(move |model, request| {
        let whole = &model.files["model.safetensors"];
        is_weights(request).then(|| Reply::new(200, &whole[..half]).lying(whole.len()))
    });
    server.run(&home, &["pull", REPO], &[]).exits(1).says(&half.to_string()).says("run the command again");
    let blob = cache(&home).join("blobs").join(checksum("model.safetensors", &weights));
    let partial = blob.with_added_extension("incomplete");
    assert!(!blob.exists() && fs::read(&partial).unwrap() == weights[..half]);
    assert!(!cache(&home).join("refs/main").exists(), "an unfinished model has no name");

    let server = model.clone().serve();
    server.run(&home, &["pull", REPO], &[]).exits(0);
    let ranges: Vec<_> =
        server.asked().iter().filter_map(|request| request.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges, [format!("bytes={half}-")]);
    assert!(fs::read(&blob).unwrap() == weights && !partial.exists());

    // A server that starts anew, a partial file that is whole, and one that is too long.
    let restarts = |model: &Model, request: &Request| {
        is_weights(request).then(|| Reply::new(200, model.files["model.safetensors"].clone()))
    };
    for (left, server) in [
        (weights[..half].to_vec(), model.clone().serve_but(restarts)),
        (weights.clone(), model.clone().serve()),
        ([&weights[..], b"more"].concat(), model.clone().serve()),
    ] {
        fs::remove_file(&blob).unwrap();
        fs::write(&partial, left).unwrap();
        server.run(&home, &["pull", REPO], &[]).exits(0);
        assert!(fs::read(&blob).unwrap() == weights && !partial.exists());
    }
}

#[test]
fn what_does_not_add_up_is_thrown_away() {
    let (home, model) = (folder("pull-checksum"), Model::new());
    let sum = checksum("model.safetensors", &model.files["model.safetensors"]);
    let server = model.clone().serve_but(|model, request| {
        let mut bytes = model.files["model.safetensors"].clone();
        *bytes.last_mut().unwrap() ^= 1;
        is_weights(request).then(|| Reply::new(200, bytes))
    });
    server.run(&home, &["pull", REPO], &[]).exits(1).says("checksum").says("model.safetensors");
    assert!(
        fs::read_dir(cache(&home).join("blobs")).unwrap().all(|e| !e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(&sum))
    );
    // And so is what an earlier attempt left, if that was wrong.
    let partial = cache(&home).join("blobs").join(&sum).with_added_extension("incomplete");
    fs::write(&partial, b"something else").unwrap();
    let server = model.serve();
    server.run(&home, &["pull", REPO], &[]).exits(1).says("checksum");
    server.run(&home, &["pull", REPO], &[]).exits(0);
}

#[test]
fn lengths_that_lie_are_refused() {
    let model = Model::new();
    let length = model.files["model.safetensors"].len();
    for stated in [0, length - 1, length + 1, usize::MAX >> 1] {
        let server = model.clone().serve_but(move |model, request| {
            is_weights(request)
                .then(|| Reply::new(200, model.files["model.safetensors"].clone()).lying(stated))
        });
        let home = folder("pull-lengths");
        server.run(&home, &["pull", REPO], &[]).exits(1).says("Content-Length");
        let ranged = model.clone().serve_but(|model, request| {
            let whole = &model.files["model.safetensors"];
            is_weights(request).then(|| Reply::new(206, &whole[9..]).with("Content-Range", "bytes 3-9/12"))
        });
        ranged.run(&home, &["pull", REPO], &[]).exits(1).says("Content-Range");
    }
}

#[test]
fn refusals_are_told_in_words() {
    let home = folder("pull-refusals");
    for (status, words) in
        [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "the hub has no owner/small-model"), (500, "500")]
    {
        let server = Server::start(move |_| Reply::new(status, "refused"));
        server.run(&home, &["pull", REPO], &[]).exits(1).says(words);
    }
    for answer in ["", "[]", "{}", "<html>", r#"{"sha": "../../x", "siblings": []}"#] {
        let server = Server::start(move |_| Reply::new(200, answer));
        server.run(&home, &["pull", REPO], &[]).exits(1).says("cannot be used");
    }
    let server = Server::start(|_| Reply::new(302, "").with("Location", "/again"));
    server.run(&home, &["pull", REPO], &[]).exits(1).says("too many redirects");
    assert!(server.asked().len() < 20);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    server.run(&home, &["pull", REPO], &[("HF_ENDPOINT", &nobody)]).exits(1).says("cannot reach");
    for wrong in ["ftp://hub.example", "hub", "http://"] {
        server.run(&home, &["pull", REPO], &[("HF_ENDPOINT", wrong)]).exits(2).says("HF_ENDPOINT");
    }
    server.run(&home, &["pull", REPO], &[("HF_TOKEN", "a b")]).exits(2).says("HF_TOKEN");
    for wrong in ["model", "../x", "a/b/c", "owner/.."] {
        server.run(&home, &["pull", wrong], &[]).exits(2).says("OWNER/NAME");
    }
    server.run(&home, &["pull", REPO, "--revision", "../x"], &[]).exits(2).says("--revision");
    server.run(&home, &["pull"], &[]).exits(2).says("OWNER/NAME");
}

#[test]
fn a_token_goes_to_the_hub_and_to_nobody_else() {
    let (home, model) = (folder("pull-token"), Model::new());
    let contents = model.clone();
    let elsewhere = Server::start(move |request| {
        let path = request.path.replace("/store", &format!("/{REPO}/resolve/{COMMIT}"));
        contents.answer(&Request { path, headers: request.headers.clone() })
    });
    let store = elsewhere.address.clone();
    let server = model.clone().serve_but(move |_, request| {
        is_weights(request)
            .then(|| Reply::new(302, "").with("Location", format!("{store}/store/model.safetensors")))
    });
    server.run(&home, &["pull", REPO], &[("HF_TOKEN", "hf_secret")]).exits(0);
    let bearer = |request: &Request| request.header("authorization").map(str::to_owned);
    assert!(server.asked().iter().all(|request| bearer(request).as_deref() == Some("Bearer hf_secret")));
    assert_eq!(elsewhere.asked().len(), 1);
    assert!(elsewhere.asked().iter().all(|request| bearer(request).is_none()));

    // A token that the hub's own clients keep, and none at all.
    let home = folder("pull-token-kept");
    fs::write(home.join("token"), "hf_kept\n").unwrap();
    server.run(&home, &["pull", REPO], &[]).exits(0);
    assert_eq!(bearer(server.asked().last().unwrap()).as_deref(), Some("Bearer hf_kept"));
    server.run(&folder("pull-token-none"), &["pull", REPO], &[]).exits(0);
    assert_eq!(bearer(server.asked().last().unwrap()), None);
}

#[test]
fn names_from_the_hub_lead_nowhere_else() {
    let (home, mut model) = (folder("pull-names"), Model::new());
    for name in ["../../../evil.json", "/evil.json", "..\\evil.json", "sub/../../evil.json", ".evil.json"] {
        model.files.insert(name.to_owned(), b"{}".to_vec());
    }
    let server = model.serve();
    server.run(&home, &["pull", REPO], &[]).exits(0);
    let snapshot = cache(&home).join("snapshots").join(COMMIT);
    assert_eq!(fs::read_dir(snapshot).unwrap().count(), 3);
    assert!(server.asked().iter().all(|request| !request.path.contains("evil")));
}
