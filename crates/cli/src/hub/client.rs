//! Requests to the hub and to wherever it sends for the contents.

use std::{env, fs, io::Read, path::PathBuf, sync::Arc, time::Duration};

use ureq::{
    Agent, Body,
    http::{Response, Uri, header, uri::Scheme},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{Repo, cache::hub_home, listing::Listing};
use crate::failure::Failure;

/// Where the hub is, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";
/// The longest silence that is borne.
const PATIENCE: Duration = Duration::from_secs(60);
/// The hub itself sends on to one place or two.
const MOST_REDIRECTS: usize = 8;
/// The longest answer that is no file.
const MOST_BYTES: u64 = 16 << 20;

/// One who asks the hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: Uri,
    /// Sent to the endpoint and to nobody else.
    token: Option<String>,
}

impl Client {
    /// As the environment says: `HF_ENDPOINT`, `HF_TOKEN` or the token that the hub's clients keep, `SSL_CERT_FILE`.
    pub(crate) fn new() -> Result<Self, Failure> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let named = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let wrong = |name, value: &str, expected| {
            Failure::usage("value-wrong", &[("name", name), ("value", value), ("expected", expected)])
        };
        let endpoint: Option<Uri> = named.trim().trim_end_matches('/').parse().ok();
        let endpoint =
            endpoint.filter(|uri| is_web(uri) && uri.authority().is_some_and(|a| !a.as_str().contains('@')));
        let endpoint = endpoint.ok_or_else(|| wrong("HF_ENDPOINT", &named, "https://…"))?;
        let token = variable("HF_TOKEN").or_else(kept_token).map(|token| token.trim().to_owned());
        if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(wrong("HF_TOKEN", "…", "hf_…"));
        }
        let mut tls = TlsConfig::builder();
        if is_secure(&endpoint) {
            check_processor()?;
        }
        tls = tls.unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()));
        if let Some(path) = variable("SSL_CERT_FILE") {
            let roots = certificates(&path).ok_or_else(|| wrong("SSL_CERT_FILE", &path, "PEM"))?;
            tls = tls.root_certs(roots);
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("tiny-vlm/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .tls_config(tls.build())
            .build()
            .into();
        Ok(Self { agent, endpoint, token })
    }

    /// The files of a model at a revision.
    pub(super) fn list(&self, repo: &Repo, revision: &str) -> Result<Listing, Failure> {
        let revision = revision.replace('/', "%2F");
        let path = format!("/api/models/{repo}/revision/{revision}?blobs=true");
        let answer = self.get(&path, None)?;
        self.expect(&answer, &[200], &repo.to_string())?;
        let mut json = Vec::new();
        let read = answer.into_body().into_reader().take(MOST_BYTES + 1).read_to_end(&mut json);
        read.map_err(|error| self.unreachable(&error.to_string()))?;
        if json.len() as u64 > MOST_BYTES {
            return Err(self.not_understood("more than 16 MiB"));
        }
        Listing::parse(&json).map_err(|reason| self.not_understood(&reason))
    }

    /// The contents of a file from byte `from` on, or all of it where that cannot be had: the status says which.
    pub(super) fn file(
        &self,
        repo: &Repo,
        commit: &str,
        name: &str,
        from: u64,
    ) -> Result<Response<Body>, Failure> {
        let path = format!("/{repo}/resolve/{commit}/{}", name.replace('+', "%2B"));
        let answer = self.get(&path, (from > 0).then_some(from))?;
        self.expect(&answer, &[200, 206, 416], &format!("{repo}: {name}"))?;
        Ok(answer)
    }

    /// Asks the endpoint for a path, and whomever it sends on to.
    fn get(&self, path: &str, from: Option<u64>) -> Result<Response<Body>, Failure> {
        let base = self.endpoint.to_string();
        let mut uri: Uri = format!("{}{path}", base.trim_end_matches('/'))
            .parse()
            .map_err(|_| self.not_understood("no address"))?;
        for _ in 0..=MOST_REDIRECTS {
            // A checksum is of the contents as they are, and so is a range.
            let mut request = self.agent.get(&uri).header(header::ACCEPT_ENCODING, "identity");
            if let Some(from) = from {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| self.may_have_token(&uri)) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let answer = request.call().map_err(|error| self.unreachable(&error.to_string()))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| follow(&uri, location));
            uri = next.ok_or_else(|| self.not_understood("a redirect to nowhere"))?;
            if is_secure(&self.endpoint) && !is_secure(&uri) {
                return Err(self.not_understood("a redirect to http"));
            }
        }
        Err(self.not_understood("too many redirects"))
    }

    /// A token goes to the endpoint alone, and never over a wire that others can read.
    fn may_have_token(&self, uri: &Uri) -> bool {
        let safe = is_secure(uri) || matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
        safe && uri.scheme() == self.endpoint.scheme() && uri.authority() == self.endpoint.authority()
    }

    fn expect(&self, answer: &Response<Body>, wanted: &[u16], what: &str) -> Result<(), Failure> {
        let status = answer.status().as_u16();
        let said = status.to_string();
        let details = [("name", what), ("status", said.as_str())];
        match status {
            status if wanted.contains(&status) => Ok(()),
            401 | 403 => Err(Failure::input("hub-denied", &details)),
            404 => Err(Failure::input("hub-missing", &details[..1])),
            _ => Err(Failure::input("hub-status", &details)),
        }
    }

    pub(super) fn unreachable(&self, reason: &str) -> Failure {
        let endpoint = self.endpoint.to_string();
        Failure::input("hub-unreachable", &[("endpoint", &endpoint), ("reason", reason)])
    }

    pub(super) fn not_understood(&self, reason: &str) -> Failure {
        let endpoint = self.endpoint.to_string();
        Failure::input("hub-answer", &[("endpoint", &endpoint), ("reason", reason)])
    }
}

/// The token that the hub's own clients keep after a login.
fn kept_token() -> Option<String> {
    let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let file = path("HF_TOKEN_PATH").or_else(|| Some(hub_home(path)?.join("token")))?;
    fs::read_to_string(file).ok().filter(|token| !token.trim().is_empty())
}

fn certificates(path: &str) -> Option<RootCerts> {
    let pem = fs::read(path).ok()?;
    let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().ok()?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(
            |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None },
        )
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::from(certificates))
}

fn is_web(uri: &Uri) -> bool {
    uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme)) && uri.host().is_some()
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// Where `location` leads from `uri`.
fn follow(uri: &Uri, location: &str) -> Option<Uri> {
    let whole = match location.starts_with('/') && !location.starts_with("//") {
        true => format!("{}://{}{location}", uri.scheme()?, uri.authority()?),
        false => location.to_owned(),
    };
    whole.parse().ok().filter(is_web)
}

/// The cipher suites are written for processors that have these instructions.
#[cfg(target_arch = "x86_64")]
fn check_processor() -> Result<(), Failure> {
    let has = [
        ("aes", is_x86_feature_detected!("aes")),
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("adx", is_x86_feature_detected!("adx")),
        ("bmi2", is_x86_feature_detected!("bmi2")),
        ("pclmulqdq", is_x86_feature_detected!("pclmulqdq")),
    ];
    missing(&has)
}

/// The cipher suites are written for processors that have these instructions.
#[cfg(target_arch = "aarch64")]
fn check_processor() -> Result<(), Failure> {
    use std::arch::is_aarch64_feature_detected;
    let has = [
        ("neon", is_aarch64_feature_detected!("neon")),
        ("aes", is_aarch64_feature_detected!("aes")),
        ("pmull", is_aarch64_feature_detected!("pmull")),
        ("sha2", is_aarch64_feature_detected!("sha2")),
    ];
    missing(&has)
}

fn missing(has: &[(&str, bool)]) -> Result<(), Failure> {
    match has.iter().find(|(_, has)| !has) {
        Some((name, _)) => Err(Failure::input("hub-processor", &[("name", name)])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_the_web_and_nowhere_else() {
        let from: Uri = "https://hub.example/a/resolve/main/x".parse().unwrap();
        let to = |location: &str| follow(&from, location).map(|uri| uri.to_string());
        assert_eq!(to("/b/c?d=e").as_deref(), Some("https://hub.example/b/c?d=e"));
        assert_eq!(to("http://cdn.example/x").as_deref(), Some("http://cdn.example/x"));
        for nowhere in ["", "x", "//cdn.example/x", "file:///etc/passwd", "ftp://cdn.example/", "https://"] {
            assert_eq!(to(nowhere), None, "{nowhere}");
        }
    }
}
