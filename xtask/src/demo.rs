//! `cargo xtask demo`: the page of `crates/wasm/www` and the package, served to this machine.
//!
//! A page shares memory between its workers only where it is isolated from other origins, which takes two headers that
//! few static servers send; `--plain` leaves them out, as on a host where they cannot be set. Ranges and validators are
//! served, so that a download which breaks off goes on.

use crate::wasm;
use crate::workspace::Workspace;
use anyhow::{Context as _, Result};
use lexopt::{Arg, Parser, ValueExt as _};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

const PORT: u16 = 8080;
/// Bytes of the longest request line with its headers.
const LONGEST: u64 = 64 << 10;
/// How long a browser may keep a connection that it says nothing on.
const IDLE: Duration = Duration::from_secs(30);

/// What makes a page isolated.
const ISOLATED: &str = "Cross-Origin-Opener-Policy: same-origin\r\n\
                        Cross-Origin-Embedder-Policy: require-corp\r\n\
                        Cross-Origin-Resource-Policy: same-origin\r\n";

/// Where files are: paths below `/pkg/` in one folder, below `/images/` and `/models/` in others, all others in the
/// page's own.
struct Site {
    page: PathBuf,
    package: PathBuf,
    images: PathBuf,
    models: Option<PathBuf>,
    isolated: bool,
}

pub(crate) fn command(workspace: &Workspace, mut parser: Parser) -> Result<()> {
    let (mut port, mut isolated, mut models) = (PORT, true, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("port") => port = parser.value()?.parse()?,
            Arg::Long("plain") => isolated = false,
            Arg::Long("models") => models = Some(PathBuf::from(parser.value()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let package = wasm::built(workspace)?;
    let site = Arc::new(Site {
        page: workspace.root.join("crates/wasm/www"),
        package,
        images: workspace.root.join("fixtures/images"),
        models,
        isolated,
    });
    let listener =
        TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("cannot listen on port {port}"))?;
    println!("http://{}/", listener.local_addr()?);
    io::stdout().flush()?;
    for stream in listener.incoming() {
        let site = Arc::clone(&site);
        let stream = stream?;
        // A browser that goes away in the middle of a file is no fault.
        thread::spawn(move || site.serve(stream).ok());
    }
    Ok(())
}

struct Request {
    method: String,
    path: String,
    range: Option<String>,
    if_range: Option<String>,
    if_none_match: Option<String>,
    close: bool,
}

impl Site {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(IDLE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = read_request(&mut reader)? {
            self.respond(&mut stream, &request)?;
            if request.close {
                break;
            }
        }
        Ok(())
    }

    fn respond(&self, stream: &mut TcpStream, request: &Request) -> io::Result<()> {
        let isolated = if self.isolated { ISOLATED } else { "" };
        let refuse = |stream: &mut TcpStream, status: &str| {
            write!(stream, "HTTP/1.1 {status}\r\n{isolated}Content-Length: 0\r\n\r\n")
        };
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return refuse(stream, "405 Method Not Allowed");
        }
        let Some(path) = self.file(&request.path) else { return refuse(stream, "404 Not Found") };
        let Ok(mut file) = File::open(&path) else { return refuse(stream, "404 Not Found") };
        let about = file.metadata()?;
        let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (length, tag) = (about.len(), format!("\"{:x}-{changed:x}\"", about.len()));
        if request.if_none_match.as_deref() == Some(tag.as_str()) {
            return write!(stream, "HTTP/1.1 304 Not Modified\r\n{isolated}ETag: {tag}\r\n\r\n");
        }
        let fresh = request.if_range.as_ref().is_none_or(|wanted| *wanted == tag);
        let from = request.range.as_deref().filter(|_| fresh).and_then(range_start);
        let (status, from) = match from {
            Some(from) if from < length => ("206 Partial Content", from),
            Some(_) => return refuse(stream, "416 Range Not Satisfiable"),
            None => ("200 OK", 0),
        };
        let mut head = format!(
            "HTTP/1.1 {status}\r\n{isolated}Content-Type: {}\r\nContent-Length: {}\r\nETag: {tag}\r\n\
             Cache-Control: no-cache\r\nAccept-Ranges: bytes\r\n",
            content_type(&path),
            length - from
        );
        if status.starts_with("206") {
            head += &format!("Content-Range: bytes {from}-{}/{length}\r\n", length - 1);
        }
        stream.write_all((head + "\r\n").as_bytes())?;
        if request.method == "GET" {
            file.seek(SeekFrom::Start(from))?;
            // A file that grows meanwhile must not end up in the next response.
            io::copy(&mut file.take(length - from), stream)?;
        }
        Ok(())
    }

    /// The file of a URL's path, if it names one that is served.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let path = path.split(['?', '#']).next().unwrap_or_default().strip_prefix('/')?;
        let (folder, rest) = if let Some(rest) = path.strip_prefix("pkg/") {
            (&self.package, rest)
        } else if let Some(rest) = path.strip_prefix("images/") {
            (&self.images, rest)
        } else if let (Some(rest), Some(models)) = (path.strip_prefix("models/"), &self.models) {
            (models, rest)
        } else {
            (&self.page, if path.is_empty() { "index.html" } else { path })
        };
        // Names only: nothing that leads out of the folder.
        let inside = Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)));
        let file = folder.join(rest);
        (inside && file.is_file()).then_some(file)
    }
}

/// The next request on a connection; nothing where it is over, or what comes is none.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut reader = reader.take(LONGEST);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        range: None,
        if_range: None,
        if_none_match: None,
        close: false,
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(request)) };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = Some(value),
            "if-range" => request.if_range = Some(value),
            "if-none-match" => request.if_none_match = Some(value),
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

/// Where a range `bytes=N-` begins. Others are not asked for here, and a server may ignore them.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Site {
            page: root.join("src"),
            package: root.join("src/wasm"),
            images: root.into(),
            models: Some(root.join("src/lint")),
            isolated: true,
        }
    }

    #[test]
    fn files_are_served_from_their_folders_only() {
        let site = site();
        assert!(site.file("/main.rs?x=1").is_some_and(|path| path.ends_with("src/main.rs")));
        assert!(site.file("/pkg/sizes.rs").is_some());
        assert!(site.file("/images/Cargo.toml").is_some());
        assert!(site.file("/models/layers.rs").is_some());
        for path in [
            "",
            "/",
            "/none",
            "/../Cargo.toml",
            "/pkg/../main.rs",
            "//etc/passwd",
            "/images//etc/passwd",
            "/models/../main.rs",
        ] {
            assert_eq!(site.file(path), None, "{path}");
        }
        assert_eq!(Site { models: None, ..site }.file("/models/layers.rs"), None);
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let mut text: &[u8] =
            b"GET /a HTTP/1.1\r\nRange: bytes=5-\r\n\r\nHEAD /b HTTP/1.1\r\nConnection: close\r\n\r\n";
        let first = read_request(&mut text).unwrap().unwrap();
        assert_eq!((first.path.as_str(), first.range.as_deref().and_then(range_start)), ("/a", Some(5)));
        let second = read_request(&mut text).unwrap().unwrap();
        assert!(second.method == "HEAD" && second.close);
        assert!(read_request(&mut text).unwrap().is_none());
        assert!(read_request(&mut &b"GET / HTTP/1.1\r\nHost: x"[..]).unwrap().is_none());
        assert_eq!(range_start("bytes=5-9"), None);
    }
}
