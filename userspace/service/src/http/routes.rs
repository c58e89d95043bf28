//! The addresses of the server, and what is answered at each.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Bytes;
use tokio::sync::Semaphore;

use crate::http::body::{LargeBody, stream};
use crate::http::guard::{Access, guard, unavailable};
use crate::http::questions::{Reading, Site};
use aioinspect_kernel::host::clock;
use aioinspect_model::headroom::headroom;
use aioinspect_model::history::History;
use aioinspect_render::headroom::write_json;
use aioinspect_render::history_json;
use aioinspect_render::metrics::{Format, render};
use aioinspect_render::page::{self, PageQuery, PageView};

/// What all scrapes that are under way may hold together, in units of a KiB; all other large answers may hold as much again. Apart, so that
/// those who do not read the API cost nobody a scrape.
const HELD_KIB: usize = 32 << 10;
/// Followers of the events at a time.
const FOLLOWERS: usize = 256;

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    site: Arc<Site>,
    scrapes: Arc<Semaphore>,
    others: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

/// The whole server, as a service of requests.
pub(super) fn router(site: Arc<Site>, access: Arc<Access>) -> Router {
    let shared = Arc::new(Shared {
        site,
        scrapes: Arc::new(Semaphore::new(HELD_KIB)),
        others: Arc::new(Semaphore::new(HELD_KIB)),
        followers: Arc::new(Semaphore::new(FOLLOWERS)),
    });
    Router::new()
        .route("/", get(front))
        .route("/metrics", get(metrics))
        .route("/api/v1/contexts", get(contexts))
        .route("/api/v1/owners", get(owners))
        .route("/api/v1/events", get(events))
        .route("/api/v1/history", get(history))
        .route("/plot", get(plot))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such address; use one of /, /metrics, /api/v1/contexts, /api/v1/owners, /api/v1/events, /api/v1/history, /healthz and /readyz\n") })
        .layer(axum::middleware::from_fn_with_state(access, guard))
        .with_state(shared)
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.site.is_ready() {
        return "ready\n".into_response();
    }
    unavailable("the watch does not answer")
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let reading = match shared.site.reading().await {
        Ok(reading) => reading,
        Err(why) => return unavailable(&why),
    };
    // Several headers are one list (RFC 9110, 5.3).
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::negotiated(&accept.join(","));
    match render(Arc::clone(&reading.exposition), format) {
        Ok(text) => {
            let head = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept")];
            large(&shared.scrapes, &head, Bytes::from(text))
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written\n").into_response(),
    }
}

async fn contexts(State(shared): State<Arc<Shared>>) -> Response {
    match shared.site.reading().await {
        Ok(reading) => large(&shared.others, &[(CONTENT_TYPE, "application/json")], reading.json()),
        Err(why) => unavailable(&why),
    }
}

/// Who has slots, and who grows: the JSON of `headroom -J`, with growth.
async fn owners(State(shared): State<Arc<Shared>>) -> Response {
    let reading = match shared.site.reading().await {
        Ok(reading) => reading,
        Err(why) => return unavailable(&why),
    };
    let mut text = Vec::new();
    let room = headroom(&reading.picture, None);
    // Writing to a Vec cannot fail.
    let _ = write_json(&mut text, &room, Some(&reading.status.growing));
    large(&shared.others, &[(CONTENT_TYPE, "application/json")], Bytes::from(text))
}

async fn front(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let reading = match shared.site.reading().await {
        Ok(reading) => reading,
        Err(why) => return unavailable(&why),
    };
    let text = page_of(&reading, &shared.site.history(), &query.unwrap_or_default());
    let head = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, page::csp())];
    large(&shared.others, &head, Bytes::from(text))
}

fn page_of(reading: &Reading, history: &History, query: &str) -> String {
    page::render(&PageView {
        picture: &reading.picture,
        history,
        now_unix_ns: clock::unix_now(),
        failures: &reading.failures,
        query: &PageQuery::parse(query),
        taken_unix_ns: reading.status.taken_unix_ns,
        hook: reading.status.hook,
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The plot of the page, which its script asks for: no reading is taken for it.
async fn plot(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let query = PageQuery::parse(&query.unwrap_or_default());
    let text = page::plot(&shared.site.history(), clock::unix_now(), &query);
    let head = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, page::csp())];
    large(&shared.others, &head, Bytes::from(text))
}

async fn history(State(shared): State<Arc<Shared>>) -> Response {
    let mut text = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = history_json::write(&mut text, &shared.site.history());
    large(&shared.others, &[(CONTENT_TYPE, "application/json")], Bytes::from(text))
}

async fn events(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Ok(place) = Arc::clone(&shared.followers).try_acquire_owned() else {
        return unavailable("too many clients already follow the events");
    };
    let last = request.headers().get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let (sender, body) = stream(place);
    let site = Arc::clone(&shared.site);
    tokio::spawn(async move { site.log.follow(last.as_deref(), sender).await });
    let head = [(CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")];
    (head, Body::new(body)).into_response()
}

/// An answer that counts against what all of its kind may hold. One that is larger than that goes alone.
fn large(budget: &Arc<Semaphore>, head: &[(HeaderName, &'static str)], text: Bytes) -> Response {
    let kib = u32::try_from((text.len() / 1024).saturating_add(1).min(HELD_KIB)).unwrap_or(u32::MAX);
    let Ok(permit) = Arc::clone(budget).try_acquire_many_owned(kib) else {
        return unavailable("too many answers wait for clients that do not read them");
    };
    let mut response = Response::new(Body::new(LargeBody::new(text, permit)));
    for (name, value) in head {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
