//! What programs change: `POST /api/v1/…`, with the token as bearer, never by a cookie; done as on the control socket.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, FromRequest as _, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::admin::desk;
use crate::admin::http::Caller;
use crate::admin::protocol::steering::{Steer, Verb};
use crate::admin::protocol::{Cause, REQUEST_BYTES_MAX, Request, Response as Answer};
use crate::admin::queue::steering::Asker;
use crate::mail::tlsrpt::day::Day;
use crate::model::actor::Actor;
use crate::model::domain::Domain;

use super::api::refused;
use super::{Site, door, guard};

/// Changes under way at once, whether or not somebody waits for them.
const CHANGES_MAX: usize = 32;
const TYPE: &str = "application/json";

pub(super) fn routes() -> Router<Arc<Site>> {
    let steering = Verb::ALL.into_iter().fold(Router::new(), |router, verb| {
        router.route(&format!("/api/v1/queue/{}", verb.as_str()), change(move |body| steer(verb, body)))
    });
    steering
        .route("/api/v1/reload", change(|Nothing {}| Ok(Request::Reload)))
        .route("/api/v1/learned/forget", change(|OfDomain { domain }| Ok(Request::LearnedForget { domain })))
        .route("/api/v1/tlsrpt/send", change(|OfReport { domain, day }| Ok(Request::TlsrptSend { domain, day })))
        .route("/api/v1/spool/compact", change(|Nothing {}| Ok(Request::SpoolCompact)))
        .route("/api/v1/spool/keep", change(|Kept { seconds }| Ok(Request::SpoolKeep { seconds })))
        .route("/api/v1/audit/checkpoint", change(|Nothing {}| Ok(Request::AuditCheckpoint)))
        .route("/api/v1/audit/rotate-key", change(|Nothing {}| Ok(Request::AuditRotateKey)))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfDomain {
    domain: Domain,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfReport {
    domain: Domain,
    /// `None`: the newest that is over.
    #[serde(default)]
    day: Option<Day>,
}

/// `seconds` has to be there, or a mistyped one would end what somebody relies on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(deserialize_with = "Option::deserialize")]
    seconds: Option<u64>,
}

fn steer(verb: Verb, mut body: Map<String, Value>) -> Result<Request, serde_json::Error> {
    if body.insert("verb".to_owned(), json!(verb)).is_some() {
        return Err(serde_json::Error::custom("`verb` is said by the path: leave it out"));
    }
    serde_json::from_value::<Steer>(Value::Object(body)).map(|steer| Request::QueueSteer(Box::new(steer)))
}

/// A path that changes something: what its body asks for.
fn change<T: DeserializeOwned + 'static>(
    request: impl Fn(T) -> Result<Request, serde_json::Error> + Clone + Send + Sync + 'static,
) -> MethodRouter<Arc<Site>> {
    post(async move |State(site): State<Arc<Site>>, Extension(caller): Extension<Caller>, asked: HttpRequest| {
        let body = match admitted(&site, &caller, asked).await {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        match read(&body).and_then(request) {
            Ok(request) => carry_out(&site, &caller, request).await,
            Err(error) => refused(StatusCode::BAD_REQUEST, &format!("the body is not what this path takes: {error}")),
        }
    })
}

/// No body is an empty object.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body })
}

/// The body of a request that may change something.
async fn admitted(site: &Site, caller: &Caller, request: HttpRequest) -> Result<Bytes, Response> {
    let headers = request.headers();
    if !guard::is_same_origin(headers) {
        return Err(refused(StatusCode::FORBIDDEN, "this comes from a page of another site; changes are for programs"));
    }
    door::prove(site, caller, headers).await?;
    if !is_json(headers) {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as Content-Type: application/json"));
    }
    let too_long = || {
        let why = format!("the body has more than {REQUEST_BYTES_MAX} octets: ask for less at a time, or by a filter");
        refused(StatusCode::PAYLOAD_TOO_LARGE, &why)
    };
    // Before the rest of it is sent.
    if length(headers).is_some_and(|length| length > REQUEST_BYTES_MAX as u64) {
        return Err(too_long());
    }
    let headers = headers.clone();
    let Ok(body) = timeout(door::BODY_TIME_MAX, Bytes::from_request(request, &())).await else {
        return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"));
    };
    let body = body.map_err(|broken| match broken.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_long(),
        code => refused(code, "the body cannot be read"),
    })?;
    // A reload may have taken another token meanwhile.
    door::prove(site, caller, &headers).await?;
    Ok(body)
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let only = types.next().filter(|_| types.next().is_none()).and_then(|kind| kind.to_str().ok());
    let essence = only.map(|kind| kind.split_once(';').map_or(kind, |(essence, _)| essence).trim());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case(TYPE))
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What is begun is brought to its end, though the caller goes away; but a walk through the queue ends early then.
async fn carry_out(site: &Site, caller: &Caller, request: Request) -> Response {
    let _staying = caller.stay();
    let (progress, _steps) = mpsc::channel(1);
    let (answered, answer) = oneshot::channel();
    let (desk, asker) = (site.desk.clone(), Asker { actor: Actor::Api(caller.address()), progress });
    let is_begun = site.begin(CHANGES_MAX, async move {
        _ = answered.send(desk::answer(&desk, request, asker).await);
    });
    if !is_begun {
        let why = format!("{CHANGES_MAX} changes are under way: ask again when one has ended");
        return refused(StatusCode::TOO_MANY_REQUESTS, &why);
    }
    told(answer.await.unwrap_or_else(|_| Answer::fault("it broke off; see the log of the daemon".to_owned())))
}

/// What came of it.
pub(super) fn told(answer: Answer) -> Response {
    match answer {
        Answer::Error { message, cause } => refused(code(cause), &message),
        Answer::NotFound => refused(StatusCode::NOT_FOUND, "there is nothing that is called so"),
        Answer::NotReloaded { errors } => {
            let error = "the configuration has errors, so the old one stays in force";
            (StatusCode::CONFLICT, Json(json!({ "error": error, "errors": errors }))).into_response()
        }
        done => Json(done).into_response(),
    }
}

const fn code(cause: Cause) -> StatusCode {
    match cause {
        Cause::Asked => StatusCode::BAD_REQUEST,
        Cause::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        Cause::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::admin::protocol::Filter;

    #[test]
    fn only_json_is_taken_for_json() {
        for (types, expected) in [
            (&["application/json"][..], true),
            (&["Application/JSON ; charset=utf-8"], true),
            (&[], false),
            (&[""], false),
            (&["text/plain"], false),
            (&["application/x-www-form-urlencoded"], false),
            (&["multipart/form-data; boundary=application/json"], false),
            (&["text/plain; application/json"], false),
            (&["application/jsonp"], false),
            (&["application/json, text/plain"], false),
            (&["application/json", "text/plain"], false),
        ] {
            let mut headers = HeaderMap::new();
            types.iter().for_each(|kind| _ = headers.append(header::CONTENT_TYPE, HeaderValue::from_static(kind)));
            assert_eq!(is_json(&headers), expected, "{types:?}");
        }
    }

    #[test]
    fn the_path_says_what_is_done_and_the_body_to_what() {
        let to = |name| Filter { to_domain: Some(Domain::parse(name).unwrap()), ..Filter::default() };
        for (body, expected) in [
            (r#"{"filter":{"to_domain":"b.example"}}"#, Ok(Steer { filter: to("b.example"), ..Steer::of(Verb::Hold) })),
            (r#"{"all":true,"dry_run":true}"#, Ok(Steer { all: true, dry_run: true, ..Steer::of(Verb::Hold) })),
            (r#"{"verb":"delete","all":true}"#, Err("leave it out")),
            (r#"{"verb":"hold","all":true}"#, Err("leave it out")),
            (r#"{"filter":{"to_domian":"b.example"}}"#, Err("unknown field `to_domian`, expected one of")),
            (r#"{"filters":{}}"#, Err("unknown field `filters`, expected one of")),
            ("[]", Err("expected a map")),
            ("all=true", Err("expected value at line 1 column 1")),
            (r#"{"all":true}{"all":true}"#, Err("trailing characters")),
        ] {
            match (read(body.as_bytes()).and_then(|body| steer(Verb::Hold, body)), expected) {
                (Ok(Request::QueueSteer(steer)), Ok(expected)) => assert_eq!(*steer, expected),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{body}: {error}"),
                (read, _) => panic!("{body}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_body_that_does_not_fit_is_no_order() {
        fn is_read<T: DeserializeOwned>(body: &str) -> bool {
            read::<T>(body.as_bytes()).is_ok()
        }
        for (is_read, expected) in [
            (is_read::<Nothing>(""), true),
            (is_read::<Nothing>("{}"), true),
            (is_read::<Nothing>(r#"{"force":true}"#), false),
            (is_read::<Nothing>("null"), false),
            (is_read::<OfDomain>(""), false),
            (is_read::<OfDomain>(r#"{"domain":"b.example"}"#), true),
            (is_read::<OfDomain>(r#"{"domain":"b..example"}"#), false),
            (is_read::<OfReport>(r#"{"domain":"b.example","day":"2027-01-02"}"#), true),
            (is_read::<OfReport>(r#"{"domain":"b.example","days":"2027-01-02"}"#), false),
            (is_read::<Kept>(r#"{"seconds":60}"#), true),
            (is_read::<Kept>(r#"{"seconds":null}"#), true),
            (is_read::<Kept>(r#"{"second":60}"#), false),
            (is_read::<Kept>("{}"), false),
        ] {
            assert_eq!(is_read, expected);
        }
    }

    #[test]
    fn what_came_of_it_is_told_by_the_status() {
        for (answer, expected) in [
            (Answer::Forgotten, 200),
            (Answer::wrong("no".to_owned()), 400),
            (Answer::NotFound, 404),
            (Answer::NotReloaded { errors: Vec::new() }, 409),
            (Answer::fault("the disk is full".to_owned()), 500),
            (Answer::stopping(), 503),
        ] {
            assert_eq!(told(answer).status(), expected);
        }
    }
}
