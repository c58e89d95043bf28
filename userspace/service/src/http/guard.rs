//! Who may ask: the method, the Host header, and the password.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use crate::users::Users;

/// Passwords that are checked at the same time: a check costs a tenth of a second of a CPU, by intention.
const CHECKS: usize = 2;
/// What a prober of liveness asks, who has no password: they tell nothing of the host.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// The rules of one server.
#[derive(Debug)]
pub struct Access {
    /// Names by which it may be asked for, in lower case.
    hosts: Vec<String>,
    /// Whether other names are refused.
    strict: bool,
    users: Option<Arc<Users>>,
    checks: Semaphore,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Access {
    /// `hosts`: names by which it may be asked for. `reachable`: whether others than this host can reach it: then any name is let pass
    /// unless some are given, for nobody knows what the network calls it. A page of another site that has its name lead to us must not
    /// read what only this host is meant to see, so on loopback no other name passes. Numbers always do: no name leads there.
    pub fn new(hosts: &[String], reachable: bool) -> Self {
        let strict = !reachable || !hosts.is_empty();
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { hosts, strict, users: None, checks: Semaphore::new(CHECKS), headers: Vec::new() }
    }

    /// Asks for a password.
    pub fn set_users(&mut self, users: Users) {
        self.users = Some(Arc::new(users));
    }

    /// Headers for every answer, which win over our own; an empty one is not sent at all.
    pub fn set_headers(&mut self, headers: &BTreeMap<&'static str, String>) {
        let parsed = headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(*name).ok()?, HeaderValue::try_from(value).ok()?))
        });
        self.headers = parsed.collect();
    }

    fn knows(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(&*host, |(name, _)| name),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_plain = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_' | b'%'));
        is_plain
            && (!self.strict
                || name == "localhost"
                || name.parse::<std::net::IpAddr>().is_ok()
                || self.hosts.iter().any(|known| known == name))
    }

    async fn admits(&self, authorization: Option<String>) -> Result<(), Response> {
        let Some(users) = &self.users else { return Ok(()) };
        if users.remembers(authorization.as_deref()) {
            return Ok(());
        }
        let refused = || {
            let ask = [(WWW_AUTHENTICATE, "Basic realm=\"aioinspect\", charset=\"UTF-8\"")];
            (StatusCode::UNAUTHORIZED, ask, "unauthorized\n").into_response()
        };
        if authorization.is_none() {
            return Err(refused());
        }
        let Ok(_turn) = self.checks.acquire().await else { return Err(refused()) };
        let users = Arc::clone(users);
        let checked = tokio::task::spawn_blocking(move || users.check(authorization.as_deref())).await;
        if checked.unwrap_or(false) { Ok(()) } else { Err(refused()) }
    }
}

/// Refuses what may not be asked, and puts what every answer has into it.
pub(super) async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let admitted = match admit(&access, &request) {
        Ok(Caller::Anybody) => Ok(()),
        Ok(Caller::User(authorization)) => access.admits(authorization).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = match admitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    for (name, value) in &access.headers {
        if value.is_empty() {
            headers.remove(name);
        } else {
            headers.insert(name, value.clone());
        }
    }
    response
}

/// Who may have what was asked for.
enum Caller {
    Anybody,
    /// Whoever this header names.
    User(Option<String>),
}

#[expect(clippy::result_large_err, reason = "the refusal is the answer, and is made once")]
fn admit(access: &Access, request: &Request) -> Result<Caller, Response> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let allow = [(ALLOW, "GET, HEAD")];
        return Err((StatusCode::METHOD_NOT_ALLOWED, allow, "only GET and HEAD\n").into_response());
    }
    // A target in absolute form names the host in place of the header (RFC 9112, 3.2.2).
    let mut hosts = request.headers().get_all(HOST).iter().map(HeaderValue::to_str);
    let (first, second) = (hosts.next(), hosts.next());
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = match (authority, first, second) {
        (Some(host), _, None) | (None, Some(Ok(host)), None) => Some(host),
        _ => None,
    };
    let Some(host) = host else {
        return Err((StatusCode::BAD_REQUEST, "exactly one Host header is needed\n").into_response());
    };
    if !access.knows(host) {
        let says = "host name not allowed (Host header); allow it with --host NAME\n";
        return Err((StatusCode::MISDIRECTED_REQUEST, says).into_response());
    }
    if OPEN.contains(&request.uri().path()) {
        return Ok(Caller::Anybody);
    }
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    Ok(Caller::User(authorization.map(str::to_owned)))
}

/// What is said when we cannot answer now.
pub(super) fn unavailable(why: &str) -> Response {
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check which names pass: on loopback only its own, its numbers and the ones added; elsewhere any, unless some are given.
    #[test]
    fn hosts() {
        let local = Access::new(&["Box.example".to_owned()], false);
        for known in [
            "localhost",
            "localhost:9827",
            "127.0.0.1:9827",
            "[::1]:9827",
            "[::1]",
            "box.example:1",
            "box.example.",
            "10.0.0.7",
        ] {
            assert!(local.knows(known), "{known}");
        }
        for unknown in [
            "",
            ":9827",
            "evil.example",
            "localhost.evil.example",
            "a b",
            "box.example/x",
            "box.example@x",
            "[",
            "\u{e9}",
        ] {
            assert!(!local.knows(unknown), "{unknown}");
        }
        assert!(Access::new(&[], true).knows("anything.example:9827"));
        assert!(!Access::new(&["box".to_owned()], true).knows("anything.example:9827"));
    }
}
